"""Two TURN clients of aioice send 1,000 datagrams to each other's relayed address and back, over UDP, TCP and TLS.

Usage: aioice_turn.py HOST PORT USERNAME PASSWORD
"""

import asyncio
import ssl
import sys

from aioice import turn

DATAGRAMS = 1000
PATIENCE = 30

host, port, username, password = sys.argv[1:]


class Receiver(asyncio.DatagramProtocol):
    def __init__(self):
        self.received = asyncio.Queue()

    def datagram_received(self, data, address):
        self.received.put_nowait(data)


async def allocate(transport, tls):
    return await turn.create_turn_endpoint(
        Receiver, (host, int(port)), username, password, transport=transport, ssl=tls
    )


async def introduce(sender, to, receiver):
    """Sends until one datagram arrives: the receiver's server drops them until its own channel is bound."""
    while receiver.received.empty():
        sender.sendto(b"hello", to)
        await asyncio.sleep(0.05)


async def exchange(transport, tls=None):
    (a, at_a), (b, at_b) = await allocate(transport, tls), await allocate(transport, tls)
    address_a, address_b = (each.get_extra_info("sockname") for each in (a, b))
    both = asyncio.gather(introduce(a, address_b, at_b), introduce(b, address_a, at_a))
    await asyncio.wait_for(both, PATIENCE)
    for number in range(DATAGRAMS):
        data = number.to_bytes(4, "big") * (1 + number % 250)
        for sender, to, receiver in ((a, address_b, at_b), (b, address_a, at_a)):
            sender.sendto(data, to)
            while await asyncio.wait_for(receiver.received.get(), PATIENCE) != data:
                pass
    a.close()
    b.close()


async def main():
    unverified = ssl._create_unverified_context()
    for transport, tls in (("udp", None), ("tcp", None), ("tcp", unverified)):
        await exchange(transport, tls)


asyncio.run(main())
