// A Clayground node with libdatachannel as a program: it hosts or joins, says who it is, and tells in JSON what
// becomes of it.
//
//   node node.mjs host|join SIGNALING_URL ID CODE ICE_SERVER...      (JSON, in libdatachannel's form)

import { Clayground } from "./clayground.mjs";
import * as libdatachannel from "./stacks/libdatachannel.mjs";

const [role, url, id, code, ...servers] = process.argv.slice(2);
const tell = (event, members) => console.log(JSON.stringify({ event, ...members }));
const iceServers = servers.map((server) => JSON.parse(server));
const connect = (told, heard) => libdatachannel.connect(told, heard, iceServers);

// It ends with its test.
const clay = new Clayground({ after() {} }, connect, url, id);
await clay.open;
tell("open");
if (role === "join") await clay.join(code);
const isIn = (one) => (role === "join" ? one.sys === "roster" : one.welcomed);
await clay.heard.find("way in", isIn);
tell("joined");
clay.message({ i: "am clay" });
const { d } = await clay.frame("m");
tell("message", { payload: d });
