"""From an index of URLs to images, politely and resumably."""
