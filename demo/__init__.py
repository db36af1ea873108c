"""A small application that shows what aiohttp_sess does. Run it with ``python -m demo``.

================  =================================================================
`__main__`        the arguments, and the server from start to end
`storages`        a storage from the text of ``--storage``
`app`             the application: sessions, routes, what surrounds them
`state`           what this application keeps in a session
`home`            the page itself
`account`         login, logout, "remember me", asking once more who is there
`devices`         where a visitor is logged in, and how to end that
`cart`            a typed value of the session that is changed in place
`live`            a WebSocket that saves to the session, and is closed when that ends
`forms`           reading a form, and refusing one that is not ours (CSRF)
`headers`         what aiohttp says of headers that it refuses
`pages`           templates, error pages, the headers of every page
`words`           moments, spans of time and browsers in words
`sent`            how the last session cookie was sent, for the page to show
`sqlite_storage`  a storage of one's own, in five methods over SQLite (not used by the page)
================  =================================================================
"""
