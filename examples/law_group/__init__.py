"""Larkfield Law Group: an invented association of small legal practices, with the site such a group really has.

A members' directory, articles, events, an enquiry form, a newsletter and an application form; a session cookie, a
preference cookie, a statistics cookie, a cookie that nobody declared, and a third party that embeds a script, a pixel
and a map. `app.py` wraps it in the middleware with one call; `privacy.toml` is its policy.
"""
