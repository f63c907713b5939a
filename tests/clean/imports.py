"""Imports much of the standard library."""
import json
import ctypes
import asyncio
import threading
import decimal
import socket
import re
import collections
import functools
import weakref
import logging
import unittest
import urllib.request
import xml.etree.ElementTree
import multiprocessing
import subprocess
import pickle
import csv
import datetime
import hashlib
import zlib
import struct
import array
import mmap
import select
import tempfile
import argparse
import dataclasses
import enum
import typing
import inspect
import random
import fractions
import http.client
import concurrent.futures
import queue
import contextvars
import traceback

for name in ("sqlite3", "ssl", "lzma", "bz2"):
    try:
        __import__(name)
    except ImportError:
        pass
