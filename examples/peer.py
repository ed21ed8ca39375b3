"""A PeerJS peer without WebRTC, which returns what pages send: through a pipe of the broker (docs/PROTOCOL.md#pipes).

    pip install websockets cryptography && python3 peer.py ws://localhost:9000/ my-program

Pages connect with `serialization: 'json'` or `'raw'`, and send messages of up to 64 KiB."""

import asyncio, json, re, secrets, struct, sys
from base64 import urlsafe_b64decode, urlsafe_b64encode
from contextlib import suppress
from hashlib import sha256

from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey, X25519PublicKey
from cryptography.hazmat.primitives.ciphers.aead import ChaCha20Poly1305
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF
from websockets import ClientConnection, ConnectionClosed, connect

NEXT, RECORD, PING = range(3)
DECISION, OPEN, _, TEXT, BINARY, PART = range(6)
LINE = re.compile(r"^a=pipe:1 ([\w-]{22}) ([\w-]{43})( only)?", re.MULTILINE)


async def listen(url: str):
    """Yields messages with their socket: a new one whenever the server or the network was away."""
    async for socket in connect(url):
        with suppress(ConnectionClosed):
            async for message in socket:
                yield socket, message
        if socket.close_code not in (1001, 1005, 1006, 1011, 1012, 1013, 1014):
            return


class Connection:
    """A page's data connection: messages arrive once and in order, even if sockets are lost."""

    def __init__(self, sdp: str, is_json: bool) -> None:
        self.is_json, self.is_synced, self.expected, self.sent, self.kept = is_json, False, 0, 0, []
        self.pipe, page_key, _ = LINE.search(sdp).groups()
        own_id, private = secrets.token_urlsafe(16), X25519PrivateKey.generate()
        own_key = urlsafe_b64encode(private.public_key().public_bytes_raw()).decode().rstrip("=")
        # The page reads no other line of the answer, so the rest is its own.
        self.answer = LINE.sub(f"a=pipe:1 {own_id} {own_key} only", sdp).replace("actpass", "active")
        parts = [urlsafe_b64decode(text + "==") for text in (self.pipe, own_id, page_key, own_key)]
        secret, salt = private.exchange(X25519PublicKey.from_public_bytes(parts[2])), sha256(b"".join(parts)).digest()
        infos = (b"peerbroker pipe 1 offerer", b"peerbroker pipe 1 answerer")
        self.opener, self.sealer = (ChaCha20Poly1305(HKDF(SHA256(), 32, salt, info).derive(secret)) for info in infos)

    async def heard(self, value: object) -> None:
        await self.send(value)

    async def send(self, value: object) -> None:
        data = json.dumps(value).encode() if self.is_json else value
        kind, data = (TEXT, data.encode()) if isinstance(data, str) else (BINARY, data)
        await self.send_record(kind, self.channel, data)

    async def send_record(self, kind: int, channel: int, payload: bytes) -> None:
        header, plain = struct.pack(">BQ", RECORD, self.sent), struct.pack(">BH", kind, channel) + payload
        self.kept.append(header + self.sealer.encrypt(bytes(4) + header[1:], plain, header))
        self.sent += 1
        if self.is_synced:
            await self.write(self.kept[-1])

    async def write(self, frame: bytes) -> None:
        with suppress(ConnectionClosed):  # The next socket repeats what was lost.
            await self.socket.send(frame)

    async def hear(self, socket: ClientConnection, frame: str | bytes) -> None:
        if isinstance(frame, str):  # OPEN, or WAITING, which has no turn.
            self.socket, self.is_synced, self.turn = socket, False, json.loads(frame).get("turn")
        elif frame[0] == RECORD and self.is_synced:
            await self.hear_record(frame)
        elif frame[0] != RECORD and frame[1:5] == struct.pack(">I", self.turn):
            del self.kept[: len(self.kept) - self.sent + int.from_bytes(frame[5:], "big")]
            if not self.is_synced:
                for record in self.kept:
                    await self.write(record)
            self.is_synced = True
        if self.turn and frame[0] != NEXT:
            await self.write(struct.pack(">BIQ", NEXT, self.turn, self.expected))

    async def hear_record(self, frame: bytes) -> None:
        plain = self.opener.decrypt(struct.pack(">IQ", 0, self.expected), frame[9:], frame[:9])
        self.expected += 1
        kind, channel = struct.unpack_from(">BH", plain)
        if kind == OPEN:
            self.channel = channel
        elif kind == PART:
            raise ValueError("the page sends a message of over 64 KiB")
        elif kind in (TEXT, BINARY):
            data = plain[3:].decode() if kind == TEXT else plain[3:]
            await self.heard(json.loads(data) if self.is_json else data)


async def answer(broker: str, signalling: ClientConnection, offer: dict) -> None:
    payload = offer["payload"]
    connection = Connection(payload["sdp"]["sdp"], payload["serialization"] == "json")
    await connection.send_record(DECISION, 0, b"pipe")
    payload["sdp"] = {"type": "answer", "sdp": connection.answer}
    await signalling.send(json.dumps({"type": "ANSWER", "dst": offer["src"], "payload": payload}))
    async for socket, frame in listen(f"{broker}pipe/{connection.pipe}?key=peerjs&end={secrets.token_urlsafe(16)}"):
        await connection.hear(socket, frame)


async def serve(broker: str, peer: str) -> None:
    tasks = set()  # asyncio itself does not keep them.
    async for socket, text in listen(f"{broker}peerjs?key=peerjs&id={peer}&token={secrets.token_urlsafe(16)}"):
        message = json.loads(text)
        if message["type"] == "OFFER":
            task = asyncio.create_task(answer(broker, socket, message))
            tasks.add(task)
            task.add_done_callback(tasks.discard)
        elif message["type"] != "CANDIDATE":
            print(text, flush=True)


asyncio.run(serve(sys.argv[1], sys.argv[2]))
