"""openapi.yaml as a judge: the routes that it describes, and whether an answer fits."""

import re

import jsonschema
import yaml


def escape(s):
    return s.replace("~", "~0").replace("/", "~1")


class Contract:
    def __init__(self, path):
        with open(path, encoding="utf-8") as f:
            self.doc = yaml.safe_load(f)
        # Only references inside the document, which the validator finds through this resolver.
        self.resolver = jsonschema.RefResolver("", self.doc)

    def routes(self):
        return {f"{method.upper()} {path}" for path, item in self.doc["paths"].items() for method in item}

    def resolve(self, node):
        while "$ref" in node:
            node = self.resolver.resolve(node["$ref"])[1]
        return node

    def validate(self, schema, value):
        jsonschema.Draft202012Validator(schema, resolver=self.resolver).validate(value)

    def check(self, method, path, answer):
        """What is wrong with an answer of that route, or None."""
        operation = self.doc["paths"][path][method.lower()]
        if str(answer.status) not in operation["responses"]:
            return f"status {answer.status} of {method} {path} is not in openapi.yaml"
        response = self.resolve(operation["responses"][str(answer.status)])
        if "content" not in response:
            return f"{answer.status} has a body, openapi.yaml has none" if answer.body else None
        kind = answer.headers.get("content-type", "").split(";")[0]
        if kind not in response["content"]:
            return f"content type {kind} of {answer.status} is not in openapi.yaml"
        if kind != "application/json":
            return None
        try:
            self.validate(response["content"][kind]["schema"], answer.json)
        except jsonschema.ValidationError as e:
            return f"{'/'.join(map(str, e.absolute_path))}: {e.message[:300]}"
        if not re.fullmatch(r"[0-9A-HJKMNP-TV-Z]{26}", answer.headers.get("x-request-id", "")):
            return "no X-Request-Id"
        return None

    def examples(self):
        """(where, schema, example) of every example in the document."""
        def media(where, content):
            for kind, m in content.items():
                if "example" in m:
                    yield f"{where} {kind}", m["schema"], m["example"]
        for path, item in self.doc["paths"].items():
            for method, op in item.items():
                where = f"{method.upper()} {path}"
                yield from media(where + " request", self.resolve(op.get("requestBody", {})).get("content", {}))
                for status, r in op["responses"].items():
                    yield from media(f"{where} {status}", self.resolve(r).get("content", {}))

    def without_example(self):
        """Operations whose success has no example."""
        for path, item in self.doc["paths"].items():
            for method, op in item.items():
                for status, r in op["responses"].items():
                    for kind, m in self.resolve(r).get("content", {}).items() if status < "300" else ():
                        if "example" not in m:
                            yield f"{method.upper()} {path} {status} {kind}"


METRIC = re.compile(r'^([a-zA-Z_:][a-zA-Z0-9_:]*)(\{([a-zA-Z_]\w*="(?:[^"\\\n]|\\.)*"'
                    r'(?:,[a-zA-Z_]\w*="(?:[^"\\\n]|\\.)*")*)\})? ([-+]?(?:\d+\.?\d*(?:e[-+]?\d+)?|Inf|NaN))$')


def check_metrics(text):
    """What is wrong with a text in Prometheus' format, or None: syntax, a TYPE before each family, histograms that add up."""
    types, buckets, values = {}, {}, {}
    if not text.endswith("\n"):
        return "no line feed at the end"
    for line in text.splitlines():
        if line.startswith("# HELP "):
            continue
        if line.startswith("# TYPE "):
            name, kind = line.split()[2:]
            if name in types:
                return f"{name} has two types"
            types[name] = kind
            continue
        m = METRIC.match(line)
        if not m:
            return f"not a sample: {line!r}"
        name, labels, value = m[1], m[3] or "", float(m[4])
        family = name if name in types else re.sub(r"_(bucket|sum|count|total)$", "", name)
        if family not in types:
            return f"{name} has no TYPE"
        if (name, labels) in values:
            return f"{name}{{{labels}}} comes twice"
        values[name, labels] = value
        if name.endswith("_bucket"):
            rest = re.sub(r',?le="[^"]*"', "", labels)
            buckets.setdefault((family, rest), []).append(value)
    for (family, rest), counts in buckets.items():
        if counts != sorted(counts):
            return f"{family}{{{rest}}}: buckets are not cumulative"
        if counts[-1] != values.get((family + "_count", rest)):
            return f"{family}{{{rest}}}: the last bucket is not the count"
    return None
