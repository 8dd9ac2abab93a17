// What goes wrong, as one kind of error.

/** What went wrong: `kind` is for programs, `message` and `remedy` are for people. */
export class WattleError extends Error {
  constructor(kind, message, remedy = "", cause = undefined) {
    super(message, cause === undefined ? undefined : { cause });
    this.name = "WattleError";
    this.kind = kind;
    this.remedy = remedy;
  }
}

export const usage = (message, remedy, cause) => new WattleError("usage", message, remedy, cause);

/** In the words of the module, which says the same of a worker. */
export const platform = (missing) =>
  new WattleError(
    "platform",
    `WebRTC is not there: ${missing}`,
    "Use a browser with WebRTC, and call this in a page, not in a worker or on a server.",
  );

export const needPage = () => {
  if (!globalThis.document) throw platform("this is not a page");
};

/** An error of the module, as ours. */
const asError = (error) => {
  if (error instanceof TypeError) return usage(error.message, "", error);
  return typeof error?.kind === "string" && !(error instanceof Error)
    ? new WattleError(error.kind, error.message, error.remedy)
    : error;
};

export const attempt = (call) => {
  try {
    return call();
  } catch (error) {
    throw asError(error);
  }
};

/** Why a network ended before it began. The page knows more than the module of what its browser does not allow. */
export const refusal = ({ reason, message, remedy }) => {
  if (reason === "network_full") {
    remedy = "Wait until somebody leaves, or host with a larger maxNodes.";
  } else if (reason === "signaling_unreachable") {
    remedy =
      "Check the network connection, and the signaling server's URL with its path (wss://…/peerjs);" +
      " the browser's console may say more.";
  } else if (reason === "signaling_protocol") {
    // The browser has not even tried.
    message = "the signaling server cannot be reached: the browser does not let this page";
    remedy =
      "A page that came by https: needs a signaling server at wss:, and cannot use LAN codes;" +
      " a Content-Security-Policy needs the server in connect-src.";
  }
  return new WattleError(reason, message, remedy);
};
