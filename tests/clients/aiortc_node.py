"""A Clayground node on another WebRTC stack (aiortc): JSON in binary messages, the channels `data` and
`state` on one connection, made in-band by the joiner.

    aiortc_node.py URL ID host
    aiortc_node.py URL ID join CODE

What it hears goes out as lines of JSON. Lines that come in are frames to be said: a first word `data` or
`state` is the channel, the rest the frame.
"""

import asyncio
import json
import secrets
import sys

import websockets
from aiortc import RTCConfiguration, RTCPeerConnection, RTCSessionDescription
from aiortc.sdp import candidate_from_sdp

HEARTBEAT = 5.0


def tell(event, **members):
    print(json.dumps({"event": event, **members}), flush=True)


class Link:
    """One connection."""

    def __init__(self, peer, connection_id):
        self.peer = peer
        self.connection_id = connection_id
        self.pc = RTCPeerConnection(RTCConfiguration(iceServers=[]))
        self.channels = {}
        self.early = []

    def use(self, channel):
        self.channels[channel.label] = channel

        @channel.on("message")
        def _(message):
            if isinstance(message, str):
                return tell("text", text=message)
            frame = json.loads(message)
            if frame["t"] == "p":
                self.say(channel.label, {"t": "P", "ts": frame["ts"]})
            else:
                tell("frame", on=channel.label, of=self.peer, t=frame["t"], frame=frame)

    def say(self, label, frame):
        channel = self.channels.get(label)
        if channel is not None and channel.readyState == "open":
            channel.send(json.dumps(frame).encode())


class Node:
    def __init__(self, socket):
        self.socket = socket
        self.links = {}

    async def signal(self, kind, link, payload):
        payload |= {"type": "data", "connectionId": link.connection_id}
        await self.socket.send(json.dumps({"type": kind, "dst": link.peer, "payload": payload}))

    def link(self, peer, connection_id):
        link = self.links[peer, connection_id] = Link(peer, connection_id)

        @link.pc.on("connectionstatechange")
        def _():
            tell("link", state=link.pc.connectionState)

        return link

    async def join(self, code):
        link = self.link(code, f"dc_{secrets.token_hex(8)}")
        data = link.pc.createDataChannel("data")
        link.use(data)
        link.use(link.pc.createDataChannel("state", ordered=False, maxRetransmits=0))
        data.on("open", lambda: tell("open"))
        # It gathers all candidates before it has a description, and they stand in there.
        await link.pc.setLocalDescription(await link.pc.createOffer())
        sdp = {"type": "offer", "sdp": link.pc.localDescription.sdp}
        more = {"label": "data", "reliable": True, "serialization": "json"}
        await self.signal("OFFER", link, {"sdp": sdp, **more})

    async def offered(self, peer, payload):
        link = self.link(peer, payload["connectionId"])

        @link.pc.on("datachannel")
        def _(channel):
            link.use(channel)
            if channel.label == "data":
                self.welcome(link)

        await self.described(link, payload["sdp"])
        await link.pc.setLocalDescription(await link.pc.createAnswer())
        sdp = {"type": "answer", "sdp": link.pc.localDescription.sdp}
        await self.signal("ANSWER", link, {"sdp": sdp, "browser": "libdatachannel"})

    def welcome(self, link):
        others = [one for one in self.links.values() if one is not link and one.channels]
        nodes = [one.peer for one in others]
        link.say("data", {"t": "y", "sys": "roster", "nodes": nodes})
        for one in others:
            one.say("data", {"t": "y", "sys": "node_joined", "nodeId": link.peer})
        tell("welcomed", peer=link.peer)

    async def described(self, link, sdp):
        await link.pc.setRemoteDescription(RTCSessionDescription(sdp["sdp"], sdp["type"]))
        for payload in link.early:
            await self.candidate(link, payload)

    async def candidate(self, link, payload):
        if link.pc.remoteDescription is None:
            return link.early.append(payload)
        text = payload["candidate"]["candidate"]
        candidate = candidate_from_sdp(text.removeprefix("candidate:"))
        candidate.sdpMid = payload["candidate"].get("sdpMid", "0")
        candidate.sdpMLineIndex = 0
        await link.pc.addIceCandidate(candidate)

    async def heard(self, frame):
        kind, payload = frame["type"], frame.get("payload") or {}
        link = self.links.get((frame.get("src"), payload.get("connectionId")))
        if kind == "OFFER" and link is None:
            await self.offered(frame["src"], payload)
        elif kind == "ANSWER" and link is not None:
            await self.described(link, payload["sdp"])
        elif kind == "CANDIDATE" and link is not None:
            await self.candidate(link, payload)

    async def commands(self):
        reader = asyncio.StreamReader()
        loop = asyncio.get_running_loop()
        await loop.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(reader), sys.stdin)
        while line := (await reader.readline()).decode().strip():
            if line == "leave":
                for link in self.links.values():
                    await link.pc.close()
                continue
            label, frame = line.split(" ", 1)
            for link in self.links.values():
                link.say(label, json.loads(frame))

    async def beat(self):
        while True:
            await asyncio.sleep(HEARTBEAT)
            await self.socket.send('{"type":"HEARTBEAT"}')


async def main(url, name, role, *code):
    async with websockets.connect(f"{url}?key=peerjs&id={name}&token=t{name}") as socket:
        node = Node(socket)
        tasks = [asyncio.create_task(node.beat()), asyncio.create_task(node.commands())]
        async for text in socket:
            frame = json.loads(text)
            if frame["type"] == "OPEN":
                tell("registered")
                if role == "join":
                    await node.join(*code)
            else:
                await node.heard(frame)
        del tasks


asyncio.run(main(*sys.argv[1:]))
