// Connections by werift.

import { createSocket } from "node:dgram";

import { RTCPeerConnection } from "werift";

// werift asks a STUN server, one on the internet if it is given none, and waits for it: this one answers.
const stun = createSocket("udp4").unref();
stun.on("message", (request, { address, port }) => {
  const answer = Buffer.alloc(32);
  request.copy(answer, 0, 0, 20);
  answer.writeUInt16BE(0x0101, 0);
  answer.writeUInt16BE(12, 2);
  // XOR-MAPPED-ADDRESS, RFC 8489 section 14.2.
  answer.writeUInt32BE(0x0020_0008, 20);
  answer.writeUInt16BE(0x0001, 24);
  answer.writeUInt16BE(port ^ 0x2112, 26);
  const cookie = [0x21, 0x12, 0xa4, 0x42];
  address.split(".").forEach((part, at) => answer.writeUInt8(Number(part) ^ cookie[at], 28 + at));
  stun.send(answer, port, address);
});
await new Promise((done) => stun.bind(0, "0.0.0.0", done));

const described = ({ localDescription: { type, sdp } }) => ({ type, sdp });

/** A channel: its label, and how something is said on it. */
const channel = (one, heard) => {
  const ours = { label: one.label, say: (bytes) => one.send(bytes) };
  one.onMessage.subscribe((data) => heard(ours, data));
  return ours;
};

/** A connection; `told` is called with its candidates, `heard` with what comes on a channel. */
export const connect = (told, heard) => {
  const pc = new RTCPeerConnection({
    iceServers: [{ urls: `stun:127.0.0.1:${stun.address().port}` }],
    iceUseIpv6: false,
    bundlePolicy: "max-bundle",
  });
  pc.onIceCandidate.subscribe((candidate) => candidate && told(candidate.toJSON()));
  return {
    make: (label, options) => channel(pc.createDataChannel(label, options), heard),
    taken: (found) => pc.onDataChannel.subscribe((one) => found(channel(one, heard))),
    offer: async () => {
      await pc.setLocalDescription(await pc.createOffer());
      return described(pc);
    },
    answer: async (offer) => {
      await pc.setRemoteDescription(offer);
      await pc.setLocalDescription(await pc.createAnswer());
      return described(pc);
    },
    accept: (answer) => pc.setRemoteDescription(answer),
    add: (candidate) => pc.addIceCandidate(candidate),
    close: () => pc.close(),
  };
};
