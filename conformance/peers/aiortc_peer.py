"""A peer of aiortc. See signalling.mjs."""

import asyncio
import json
import sys

from aiortc import RTCConfiguration, RTCPeerConnection, RTCSessionDescription
from aiortc.sdp import candidate_from_sdp

options = json.loads(sys.argv[1])


def say(message):
    print(json.dumps(message), flush=True)


def text(number):
    return f"{number} ".ljust(number, "x")


async def describe(connection, description):
    """aiortc has all of its candidates in its description."""
    await connection.setLocalDescription(description)
    local = connection.localDescription
    say({"type": local.type, "sdp": local.sdp})


def call(connection):
    channel = connection.createDataChannel("data")
    number = 0

    @channel.on("open")
    def on_open():
        channel.send(text(number))

    @channel.on("message")
    def on_message(data):
        nonlocal number
        if data != text(number):
            sys.exit(f"{data} instead of {text(number)}")
        number += 1
        if number == options["messages"]:
            say({"done": number})
        else:
            channel.send(text(number))


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
