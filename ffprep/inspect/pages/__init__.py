"""Samples and batches to look at: the page of ``ffprep preview``, its pictures, its charts and contact sheets."""
