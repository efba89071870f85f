"""A subscriber with PyPI's aiosfstream-ng, as an application for Salesforce would have one.

Prints each message as a line of JSON. Positions are kept in a file, so that the next run goes on
where this one ended.

    subscriber.py URL CHANNEL STORAGE [REPLAY_FIRST]
"""

import asyncio
import json
import shelve
import sys

from aiosfstream_ng import Client
from aiosfstream_ng.auth import AuthenticatorBase
from aiosfstream_ng.replay import DefaultMappingStorage


class NoLogin(AuthenticatorBase):
    """Knows the server without asking Salesforce for it."""

    def __init__(self, url):
        super().__init__()
        self._url = url

    async def _authenticate(self):
        return 200, {"access_token": "none", "token_type": "Bearer", "instance_url": self._url}


async def main(url, channel, storage, first="-2"):
    with shelve.open(storage) as markers:
        replay = DefaultMappingStorage(mapping=markers, default_id=int(first))
        async with Client(NoLogin(url), replay=replay, connection_timeout=60) as client:
            await client.subscribe(channel)
            async for message in client:
                markers.sync()
                print(json.dumps(message), flush=True)


asyncio.run(main(*sys.argv[1:]))
