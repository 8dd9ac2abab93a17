// Firefox without a window, as a browser for `Page.open`.
//
// Environment: FIREFOX is the browser (default /usr/bin/firefox-esr).

import puppeteer from "puppeteer-core";

/** A Firefox; `hiding` as for `browse`. */
export const browseFirefox = async (t, hiding = "shown") => {
  const browser = await puppeteer.launch({
    browser: "firefox",
    executablePath: process.env.FIREFOX ?? "/usr/bin/firefox-esr",
    headless: true,
    extraPrefsFirefox: {
      "media.peerconnection.ice.obfuscate_host_addresses": hiding === "hidden",
    },
  });
  t.after(() => browser.close());
  return { newContext: () => browser.createBrowserContext(), version: () => browser.version() };
};
