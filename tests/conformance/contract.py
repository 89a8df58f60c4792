"""What the service documents of its answers, and which calls were seen to keep it.

The tables in tests/contract were made from the service's own documents; neither the local cloud nor the engine made
them. An answer may lack fields that its table has; it never has others, nor values of another type.
"""

import collections
import pathlib

TABLES = pathlib.Path(__file__).resolve().parent.parent / "contract"

#: Product by the version that its calls carry.
PRODUCTS = {
    "2014-05-26": "ecs",
    "2016-04-28": "vpc",
    "2015-04-01": "sts",
    "2017-12-14": "bssopenapi",
    "2023-03-30": "fc",
    "2015-12-15": "cs",
    "2020-12-03": "pai-dlc",
    "2021-02-04": "aiworkspace",
}

#: Products whose calls the local cloud does not have.
LEFT_OUT = ["oos", "ram"]

_KINDS = {
    "string": lambda value: isinstance(value, str),
    "integer": lambda value: isinstance(value, int) and not isinstance(value, bool),
    "number": lambda value: isinstance(value, (int, float)) and not isinstance(value, bool),
    "boolean": lambda value: isinstance(value, bool),
    "any": lambda value: True,
}


def read(product):
    """The calls of a product: from action to the fields of its answer, from path to type."""
    calls = {}
    for line in (TABLES / f"{product}.txt").read_text().splitlines():
        if line and not line.startswith("#"):
            action, sign, path, kind = line.split(" ")
            fields = calls.setdefault(action, {})
            if sign == "=":
                fields[path] = kind
    return calls


class Contract:
    """All tables, and the calls that succeeded."""

    def __init__(self):
        self.calls = {product: read(product) for product in PRODUCTS.values()}
        self.covered = collections.defaultdict(set)

    def check(self, version, action, body):
        """Compares a successful answer with its table; answers what is wrong, a line each."""
        product = PRODUCTS[version]
        fields = self.calls[product].get(action)
        if fields is None:
            return [f"{product} {action} is in no table"]
        self.covered[product].add(action)
        problems = []
        # Of a call that answers a list the tables have what its elements are.
        for item in body if isinstance(body, list) else [body]:
            if isinstance(item, (dict, list)):
                _walk(item, "", fields, problems)
        return [f"{product} {action}: {problem}" for problem in problems]

    def missing(self):
        """The calls that no test made with success."""
        return {product: sorted(set(calls) - self.covered[product]) for product, calls in self.calls.items()}


def _walk(value, path, fields, problems):
    if value is None:
        return
    if path in fields:
        if not _KINDS[fields[path]](value):
            problems.append(f"`{path}` is {value!r} and not a {fields[path]}")
    elif f"{path}.*" in fields:
        if not isinstance(value, dict):
            problems.append(f"`{path}` is {value!r} and not an object")
    elif isinstance(value, list):
        below = f"{path}[]"
        if not any(field == below or field.startswith((below + ".", below + "[")) for field in fields):
            problems.append(f"`{path}` is no list")
            return
        for item in value:
            _walk(item, below, fields, problems)
    elif isinstance(value, dict):
        if path and not any(field.startswith(path + ".") for field in fields):
            problems.append(f"`{path}` is not there")
            return
        for name, item in value.items():
            _walk(item, f"{path}.{name}" if path else name, fields, problems)
    else:
        problems.append(f"`{path}` is not there")
