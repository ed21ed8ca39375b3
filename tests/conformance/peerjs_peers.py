"""Peers of peerjs-py talk to each other, and to a browser's PeerJS, whichever side connects.

Usage: peerjs_peers.py HOST PORT, while a peer `browser` at that server returns each message as `{"echo": …}`, and answers
`{"call": ID}` with the answer of that peer to its own message.
"""

import asyncio
import sys

from aiortc import RTCConfiguration
from peerjs_py.peer import Peer

PATIENCE = 30

host, port = sys.argv[1:]


async def start(name):
    options = {"host": host, "port": int(port), "path": "/", "secure": False, "config": RTCConfiguration(iceServers=[])}
    peer = Peer(name, options)
    opened = asyncio.get_running_loop().create_future()
    peer.on("open", opened.set_result)
    await peer.start()
    assert await asyncio.wait_for(opened, PATIENCE) == name
    return peer


def echo(connection):
    connection.on("data", lambda data: asyncio.create_task(connection.send({"echo": data})))


async def ask(peer, other, message):
    """Connects to another peer, and returns its answer to a message."""
    connection = await peer.connect(other)
    await asyncio.wait_for(connection.open_future, PATIENCE)
    answers = asyncio.Queue()
    # The package handles each message twice.
    connection.on("data", answers.put_nowait)
    await connection.send(message)
    return await asyncio.wait_for(answers.get(), PATIENCE)


async def main():
    anna, ben = await start("anna"), await start("ben")
    anna.on("connection", echo)
    for other in ("anna", "browser"):
        answer = await ask(ben, other, {"n": 1})
        assert answer == {"echo": {"n": 1}}, answer
    answer = await ask(ben, "browser", {"call": "anna"})
    assert answer == {"echo": "from the browser"}, answer
    await anna.destroy()
    await ben.destroy()


asyncio.run(main())
