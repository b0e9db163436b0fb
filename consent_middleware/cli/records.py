"""`consent records`: what the data protection officer has to keep, drawn from the policy file."""

from __future__ import annotations

import html
from pathlib import Path

import click

from consent_middleware.cli.opening import load_policy
from consent_middleware.cli.options import format_option, policy_option

NAMES = ("article-30", "dpia", "lia", "transfers")
PAGE = """<!doctype html><html lang="en"><meta charset="utf-8"><title>{title}</title>
<style>body{{font:1rem/1.5 sans-serif;max-width:70rem;margin:2rem auto}}
td,th{{padding:.2rem .8rem .2rem 0;text-align:left;vertical-align:top}}</style>
{article}</html>"""


@click.command(
    help="Print a record: article-30 (processing activities), dpia (impact summary), lia (legitimate interests), "
    "transfers (vendors, recipients, countries). What the policy file does not say is listed at the end."
)
@click.argument("which", type=click.Choice(NAMES))
@policy_option
@format_option("md", "json", "html")
def records(which: str, policy_path: Path, format_: str) -> None:
    import msgspec

    from consent_middleware.pages.document import markdown
    from consent_middleware.pages.rendering import render
    from consent_middleware.pages.words import words_for
    from consent_middleware.records import RECORDS

    policy = load_policy(policy_path)
    document = RECORDS[which](policy)
    if format_ == "json":
        click.echo(msgspec.json.encode(document))
    elif format_ == "html":
        article = render("policy_article.html", policy, words_for(policy, "en"), document=document)
        click.echo(PAGE.format(title=html.escape(document.title), article=article))
    else:
        click.echo(markdown(document))
