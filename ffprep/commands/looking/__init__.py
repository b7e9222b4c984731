"""Commands that say what finished files hold, whether they are whole and how fast they load."""
