"""A client with PyPI's aiocometd-ng that does what it is told.

    client.py URL CONNECTION_TYPE

Reads lines of JSON, {"subscribe": CHANNEL}, {"publish": [CHANNEL, DATA]} or {"close": true}, and
prints one for each when it is done, {"done": CONNECTION_TYPE}, and one for each message,
{"channel": CHANNEL, "data": DATA}.
"""

import asyncio
import json
import sys

from aiocometd_ng import Client, ConnectionType


def say(what):
    print(json.dumps(what), flush=True)


async def obey(client, lines):
    while line := await lines.readline():
        order = json.loads(line)
        if "subscribe" in order:
            await client.subscribe(order["subscribe"])
        elif "publish" in order:
            await client.publish(*order["publish"])
        else:
            return
        say({"done": client.connection_type.value})


async def hear(client):
    async for message in client:
        say({"channel": message["channel"], "data": message["data"]})


async def main(url, connection_type):
    lines = asyncio.StreamReader()
    protocol = asyncio.StreamReaderProtocol(lines)
    await asyncio.get_running_loop().connect_read_pipe(lambda: protocol, sys.stdin)
    # With a timeout, its `receive` ends at the first break: it gives `asyncio.wait_for` an argument
    # that Python 3.10 took away.
    async with Client(url, ConnectionType(connection_type), connection_timeout=0) as client:
        hearing = asyncio.ensure_future(hear(client))
        await obey(client, lines)
        hearing.cancel()
    say({"done": None})


asyncio.run(main(*sys.argv[1:]))
