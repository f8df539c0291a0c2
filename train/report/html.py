"""HTML and SVG as a tree: whatever is text is escaped when the tree is written, so none can be
forgotten."""

from xml.etree import ElementTree

Element = ElementTree.Element


def element(tag: str, *children: Element | str, **attributes: object) -> Element:
    """An element; `class_` is the attribute class, and `stroke_width` is stroke-width.

    >>> to_text(element("p", "1 < 2, ", element("b", "yes"), class_="note"))
    '<p class="note">1 &lt; 2, <b>yes</b></p>'
    """
    named = {name.rstrip("_").replace("_", "-"): str(v) for name, v in attributes.items()}
    made = Element(tag, named)
    for child in children:
        if isinstance(child, Element):
            made.append(child)
        elif len(made):
            made[-1].tail = (made[-1].tail or "") + child
        else:
            made.text = (made.text or "") + child
    return made


def to_text(root: Element) -> str:
    """The tree as HTML."""
    return ElementTree.tostring(root, encoding="unicode", method="html")


def page(title: str, style: str, *body: Element) -> bytes:
    """A whole page that needs nothing from anywhere, with `style` as its CSS."""
    head = element(
        "head",
        element("meta", charset="utf-8"),
        element("meta", name="viewport", content="width=device-width, initial-scale=1"),
        element("title", title),
        element("style", style),
    )
    root = element("html", head, element("body", element("main", *body)), lang="en")
    return b"<!doctype html>\n" + to_text(root).encode() + b"\n"
