"""A peer of aiortc. See signalling.mjs."""

import asyncio
import json
import sys

from aiortc import RTCConfiguration, RTCPeerConnection, RTCSessionDescription
from aiortc.sdp import candidate_from_sdp

from conversation import Caller, options, say


async def describe(connection, description):
    """aiortc has all of its candidates in its description."""
    await connection.setLocalDescription(description)
    local = connection.localDescription
    say({"type": local.type, "sdp": local.sdp})


def call(connection):
    channel = connection.createDataChannel("data")
    caller = Caller(channel.send)
    channel.on("open", caller.start)
    channel.on("message", caller.receive)


def echo(channel):
    channel.on("message", channel.send)


async def take(connection, message):
    if "candidate" in message:
        candidate = candidate_from_sdp(message["candidate"].removeprefix("candidate:"))
        candidate.sdpMLineIndex = 0
        await connection.addIceCandidate(candidate)
        return
    await connection.setRemoteDescription(RTCSessionDescription(message["sdp"], message["type"]))
    if message["type"] == "offer":
        await describe(connection, await connection.createAnswer())


async def main():
    connection = RTCPeerConnection(RTCConfiguration(iceServers=[]))
    if options["isCaller"]:
        call(connection)
        await describe(connection, await connection.createOffer())
    else:
        connection.on("datachannel", echo)
    lines = asyncio.StreamReader()
    await asyncio.get_running_loop().connect_read_pipe(lambda: asyncio.StreamReaderProtocol(lines), sys.stdin)
    while line := await lines.readline():
        await take(connection, json.loads(line))


asyncio.run(main())
