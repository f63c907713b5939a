# SPDX-License-Identifier: MIT
"""Trees, paths, a transformation."""
from lose import lose
from lxml import etree

STYLE = """<xsl:stylesheet version="1.0" xmlns:xsl="http://www.w3.org/1999/XSL/Transform">
<xsl:template match="/"><sum><xsl:value-of select="sum(//item/@n)"/></sum></xsl:template></xsl:stylesheet>"""


def make(count):
    root = etree.Element("list")
    for number in range(count):
        etree.SubElement(root, "item", n=str(number)).text = "text %d" % number
    return root


def change(root):
    for item in root.xpath("//item[@n mod 2 = 1]"):
        root.remove(item)
    lose(500)
    return etree.fromstring(etree.tostring(root))


root = change(make(500))
print(len(root), str(etree.XSLT(etree.fromstring(STYLE))(root)).strip().splitlines()[-1])
