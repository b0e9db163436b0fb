"""Write docs/reference/ from the code: the structs of privacy.toml, the commands, the routes, the public names.

`reference.py --check` writes nothing and ends with 1 when a page is not what the code says.
"""

from __future__ import annotations

import ast
import asyncio
import importlib
import inspect
import io
import re
import sys
import tempfile
import tokenize
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import click

ROOT = Path(__file__).resolve().parent.parent
FOLDER = ROOT / "docs" / "reference"
SECTIONS = ROOT / "consent_middleware" / "policy_sections.py"
POLICY = (
    'revision = 1\nupdated = 2026-11-20\n[controller]\nname = "x"\n[site]\n[[purpose]]\nid = "analytics"\n'
    "[capture]\nplausible = true\n"
)
HEAD = "Written by `make reference` from the code; a test compares.\n"
# What each route of the site is for, by the beginning of its path; the longest that fits.
SITE_ROUTES = {
    "/": "Preferences (GET), and every choice (POST: form or JSON; `choice` is `accept`, `reject` or `save`, with "
    "`purpose` and `return`; "
    "to JSON it answers what holds now, a `message` to show, and after a withdrawal the `receipt` to fetch)",
    "/state": "The present choice as JSON",
    "/policy": "The privacy policy; `?fragment=1` for your own template",
    "/policy/changes": "Every revision, what changed, and the text as it was",
    "/cookies": "The cookie table",
    "/receipt": "The visitor's consent record, signed; 404 with the reason after a refusal",
    "/notice": "A text that was once shown, by its SHA-256",
    "/data": "What is held about this visitor; `?format=json` or `csv`: 202 until the copy is there",
    "/data/correct": "Ask for a correction: `text`",
    "/data/erase": "Erase what is held about this visitor",
    "/data/object": "Leave this visitor out of every report, also in future",
    "/data/restrict": "Leave what is held about this visitor out of reports",
    "/data/unrestrict": "End that restriction",
    "/data/confirm": "A signed link from an e-mail: a button (GET), then the request itself (POST)",
    "/data/stop-marketing": "End direct marketing to an `address`",
    "/data/complain": "A complaint: `text`",
    "/requests": "Requests, answers and signed links of the register",
    "/event": "Interactions: 202 once fsynced, 503 when the spool is full",
    "/csp-report": "Browser reports of blocked third parties",
    "/stored": "Where a first choice leads: on to `return` if the cookie was kept, else an explanation",
    "/rates": "Acceptance rates",
    "/gpc.json": "Global Privacy Control",
    "/google": "Google's consent defaults, where the policy names a Google tag",
    "/banner": "Style and script of the banner",
    "/page": "Style and script of our pages",
    "/statistics": "The optional script of interactions",
    "/consent.": "Types of `window.consent`",
    "/api/event": "Plausible's Events API, when `capture.plausible` is on",
}


def cell(text: str) -> str:
    return " ".join(text.split()).replace("|", "\\|")


def comments(source: str) -> dict[int, str]:
    """Line -> the comment on it."""
    tokens = tokenize.generate_tokens(io.StringIO(source).readline)
    return {t.start[0]: t.string.lstrip("# ").strip() for t in tokens if t.type == tokenize.COMMENT}


def configuration() -> str:
    """A table for each struct: key, type, default, what its comment says."""
    source = SECTIONS.read_text("utf-8")
    said, lines = comments(source), source.splitlines()
    out = ["# privacy.toml, key by key\n", HEAD, "Unknown keys are refused. Editors complete and check with",
           "`consent_middleware/privacy.schema.json`.\n"]  # fmt: skip
    for node in ast.parse(source).body:
        fields = [part for part in getattr(node, "body", []) if isinstance(part, ast.AnnAssign)]
        if not isinstance(node, ast.ClassDef) or not fields:
            continue
        out += [f"## {node.name}\n", (ast.get_docstring(node) or "") + "\n"]
        out += ["| key | type | default | |", "|---|---|---|---|"]
        for part in fields:
            first, text = part.lineno - 1, []
            while first in said and lines[first - 1].lstrip().startswith("#"):
                text.insert(0, said[first])
                first -= 1
            text += [said[line] for line in range(part.lineno, (part.end_lineno or part.lineno) + 1) if line in said]
            default = ast.unparse(part.value) if part.value else "required"
            default = re.sub(r"^msgspec\.field\(.*?default(?:_factory)?=([^,)]+).*\)$", r"\1", default)
            kind = ast.unparse(part.annotation)
            name = part.target.id if isinstance(part.target, ast.Name) else ""
            out.append(f"| `{name}` | `{cell(kind)}` | `{cell(default)}` | {cell(' '.join(text))} |")
        out.append("")
    return "\n".join(out)


def commands(group: click.Group, name: str) -> Iterator[tuple[str, click.Command]]:
    context = click.Context(group, info_name=name)
    for sub in group.list_commands(context):
        found = group.get_command(context, sub)
        if isinstance(found, click.Group):
            yield from commands(found, f"{name} {sub}")
        elif found is not None:
            yield f"{name} {sub}", found


def command_line() -> str:
    from analytics.cli import analytics
    from consent_middleware.cli import consent

    out = ["# Command line\n", HEAD, "Exit codes: 0 done, 1 found something wrong, 2 could not run.\n"]
    for group, name in ((consent, "consent"), (analytics, "analytics")):
        for full, command in commands(group, name):
            out += [f"## {full}\n", (command.help or "").strip() + "\n"]
            rows = []
            for parameter in command.params:
                if isinstance(parameter, click.Option):
                    flags = ", ".join([*parameter.opts, *parameter.secondary_opts])
                    kind = "" if parameter.is_flag else parameter.make_metavar(click.Context(command))
                    rows.append(f"| `{cell(f'{flags} {kind}'.strip())}` | {cell(parameter.help or '')} |")
                else:
                    rows.append(f"| `{cell(parameter.make_metavar(click.Context(command)))}` | |")
            out += ["| option | |", "|---|---|", *rows, ""] if rows else []
    return "\n".join(out)


def http() -> str:
    from analytics.reports.openapi import document

    out = [
        "# HTTP\n",
        HEAD,
        "## Routes of the site\n",
        "`/_consent` is `site.prefix`.\n",
        "| route | | |",
        "|---|---|---|",
    ]
    for path, methods in asyncio.run(site_routes()):
        short = path.removeprefix("/_consent").removeprefix("/.well-known") or "/"
        fits = [key for key in SITE_ROUTES if short == key or (key != "/" and short.startswith(key))]
        out.append(f"| `{path}` | {methods} | {SITE_ROUTES[max(fits, key=len)] if fits else ''} |")
    api = document()
    out += ["", "## Routes of the service\n", "`analytics serve`; the whole description is at `/openapi.json`.\n"]
    out += ["| route | | |", "|---|---|---|"]
    for path, operations in api["paths"].items():
        out += [f"| `{path}` | {verb.upper()} | {operation['summary']} |" for verb, operation in operations.items()]
    out += ["| `/healthz` | GET | The process answers |", "| `/readyz` | GET | The store answers |"]
    out += ["| `/metrics` | GET | Prometheus; any token |", ""]
    return "\n".join(out)


async def site_routes() -> list[tuple[str, str]]:
    from consent_middleware import PrivacyPolicy
    from consent_middleware.opening import _routes
    from consent_middleware.services import open_services

    with tempfile.TemporaryDirectory() as folder:
        services = await open_services(PrivacyPolicy.parse(POLICY), Path(folder), ["the key of the reference"])
        try:
            routes = _routes(services)
        finally:
            await services.close()
    found: dict[str, set[str]] = {}
    for route in routes:
        path = re.sub(r"\.[0-9a-f]{12}\.", ".<hash>.", str(getattr(route, "path", "")))
        found.setdefault(path, set()).update(set(getattr(route, "methods", None) or ()) - {"HEAD"})
    return [(path, ", ".join(sorted(methods))) for path, methods in sorted(found.items())]


def python() -> str:
    out = ["# Python\n", HEAD]
    for module_name in ("consent_middleware", "consent_middleware.pages", "analytics.client"):
        module = importlib.import_module(module_name)
        names = getattr(module, "__all__", None) or [
            name for name, value in vars(module).items() if getattr(value, "__module__", "") == module_name
        ]
        out.append(f"## {module_name}\n")
        for name in sorted(name for name in names if not name.startswith("_")):
            out += described(getattr(module, name), name)
    return "\n".join(out)


def described(value: Any, name: str) -> list[str]:
    """A name, its signature, its docstring, and its public members."""
    if not (inspect.isclass(value) or inspect.isfunction(value)):
        return []
    out = [f"### {name}\n", f"```text\n{signature(value, name)}\n```\n", (inspect.getdoc(value) or "") + "\n"]
    if inspect.isclass(value):
        for member, what in sorted(vars(value).items()):
            if member.startswith("_") or not isinstance(what, property | classmethod | staticmethod | type(described)):
                continue
            inner = getattr(what, "fget", None) or getattr(what, "__func__", None) or what
            if not (text := inspect.getdoc(inner)):
                continue
            shown = f"{name}.{member}" if isinstance(what, property) else signature(inner, f"{name}.{member}")
            out += [f"`{shown}`\n", text + "\n"]
    return out


def signature(value: Any, name: str) -> str:
    text = str(inspect.signature(value)).replace("(self, ", "(").replace("(self)", "()").replace("'", "")
    return name + text.replace("(cls, ", "(")


PAGES = {"configuration.md": configuration, "cli.md": command_line, "http.md": http, "python.md": python}


def main(check: bool) -> int:
    FOLDER.mkdir(exist_ok=True)
    stale = []
    for name, write in PAGES.items():
        text = write().rstrip() + "\n"
        path = FOLDER / name
        if not path.exists() or path.read_text("utf-8") != text:
            stale.append(name)
            if not check:
                path.write_text(text, "utf-8")
    if check and stale:
        print(f"not what the code says: {', '.join(stale)}; run make reference", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main("--check" in sys.argv[1:]))
