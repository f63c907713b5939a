"""Packages with extension modules, those that are installed."""
import importlib


def use_numpy(numpy):
    assert numpy.ones(10).sum() == 10


def use_lxml(etree):
    assert etree.tostring(etree.fromstring("<a><b/></a>")) == b"<a><b/></a>"


def use_yaml(yaml):
    assert yaml.safe_load("a: [1, 2]") == {"a": [1, 2]}


def use_image(image):
    assert len(image.new("RGB", (9, 9)).tobytes()) == 243


def use_glib(glib):
    glib.MainLoop()


def use_fernet(fernet):
    key = fernet.Fernet(fernet.Fernet.generate_key())
    assert key.decrypt(key.encrypt(b"text")) == b"text"


for name, use in [
    ("numpy", use_numpy),
    ("lxml.etree", use_lxml),
    ("yaml", use_yaml),
    ("PIL.Image", use_image),
    ("psycopg2", None),
    ("cryptography.fernet", use_fernet),
    ("gi.repository.GLib", use_glib),
]:
    try:
        module = importlib.import_module(name)
    except ImportError:
        continue
    if use:
        use(module)
