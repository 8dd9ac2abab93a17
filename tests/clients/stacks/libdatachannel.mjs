// Connections by libdatachannel, which is what Clayground's own native nodes have.

import rtc from "node-datachannel";

const { PeerConnection, cleanup } = rtc;

/** A channel: its label, and how something is said on it. */
const channel = (one, heard) => {
  const ours = {
    label: one.getLabel(),
    say: (bytes) => one.isOpen() && one.sendMessageBinary(bytes),
  };
  one.onMessage((data) => heard(ours, data));
  return ours;
};

let open = 0;

/** A connection; `told` is called with its candidates, `heard` with what comes on a channel. */
export const connect = (told, heard, iceServers = []) => {
  const pc = new PeerConnection("clayground", { iceServers });
  open += 1;
  let closed = false;
  // It makes its description by itself as soon as there is something to be described.
  const described = new Promise((done) => {
    pc.onLocalDescription((sdp, type) => done({ type, sdp }));
  });
  // It gives an answer to ICE before it knows the fingerprint in it, and refuses (alert 48) whoever is so near that
  // he gets there in between. So nobody is told where it is before both descriptions are known to it.
  let tell;
  const agreed = new Promise((done) => (tell = done));
  pc.onLocalCandidate((candidate, sdpMid) => {
    agreed.then(() => told({ candidate, sdpMid, sdpMLineIndex: 0 }));
  });
  return {
    make: (label, { ordered = true, ...more } = {}) =>
      channel(pc.createDataChannel(label, { unordered: !ordered, ...more }), heard),
    taken: (found) =>
      pc.onDataChannel((one) => {
        const ours = channel(one, heard);
        if (one.isOpen()) found(ours);
        else one.onOpen(() => found(ours));
      }),
    offer: () => described,
    answer: ({ sdp, type }) => {
      pc.setRemoteDescription(sdp, type);
      described.then(tell);
      return described;
    },
    accept: ({ sdp, type }) => {
      pc.setRemoteDescription(sdp, type);
      tell();
    },
    add: ({ candidate, sdpMid }) => pc.addRemoteCandidate(candidate, sdpMid),
    close: () => {
      if (closed) return;
      closed = true;
      pc.close();
      open -= 1;
      // Else its threads keep the process.
      if (open === 0) setTimeout(() => open === 0 && cleanup(), 1_000).unref();
    },
  };
};
