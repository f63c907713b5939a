# SPDX-License-Identifier: MIT
"""Pieces of code for scope_clean.py and scope_first.py, which import nothing before they are called."""


def hashes():
    import hashlib, hmac
    hashlib.pbkdf2_hmac("sha256", b"p", b"s", 10)
    return (hashlib.sha256(b"x").digest(), hashlib.new("sha512", b"y").digest(), hmac.new(b"k", b"m", "md5").digest())


def secure():
    import ssl
    return ssl.create_default_context()


def zones():
    import datetime, time
    time.tzset()
    time.strftime("%Z")
    return (datetime.datetime(2020, 1, 1, 12).astimezone().isoformat(), datetime.datetime.now(datetime.timezone.utc))
