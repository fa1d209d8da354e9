"""``streamwise api``: lists, events, health and the live page over HTTP."""

import asyncio

import click
import msgspec

from deploy.api.server import serve
from deploy.cli.options import as_json, with_settings
from deploy.cli.output import print_json
from deploy.cli.quiet import quiet
from deploy.signals import stop_on_signals
from schemas.settings import Settings


@click.command("api")
@click.option("--host", help="Address to listen on; the settings' api.host if left out.")
@click.option("--port", type=click.IntRange(0, 65535), help="Port; 0 takes a free one.")
@as_json
@with_settings
def command(settings: Settings, *, host: str | None, port: int | None, as_json: bool) -> None:
    """Serve HTTP until Ctrl-C: the live page at /, lists under /v1, /metrics, /livez and /readyz."""
    quiet()
    given = {"host": host, "port": port}
    api = msgspec.structs.replace(settings.api, **{k: v for k, v in given.items() if v is not None})
    asyncio.run(run(msgspec.structs.replace(settings, api=api), as_json=as_json))


async def run(settings: Settings, *, as_json: bool) -> None:
    """Serve until a signal."""

    def say(port: int) -> None:
        url = f"http://{settings.api.host}:{port}/"
        if as_json:
            print_json({"url": url})
        else:
            click.echo(f"live page: {url}", err=True)

    with stop_on_signals() as stop:
        await serve(settings, stop, listening=say)
