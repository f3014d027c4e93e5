// As much of the Chrome DevTools Protocol as the suite needs: https://chromedevtools.github.io/devtools-protocol/.
import { spawn } from "node:child_process";
import { EventEmitter, once } from "node:events";
import { openSync } from "node:fs";

// Browser is a headless Chromium, spoken to over a pipe: messages are JSON, each ended by a NUL.
// Its events are those of the protocol, with their parameters and the session that they belong to. What it says of the
// machine, which has no desktop, goes to a file beside its profile.
export class Browser extends EventEmitter {
  #waiting = new Map(); // id of a message: what its answer settles
  #next = 1;

  constructor(profile) {
    super();
    // No sandbox: the pages are our own, and root has none.
    this.process = spawn("chromium", [
      "--headless=new", "--remote-debugging-pipe", `--user-data-dir=${profile}`, "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage",
      "--no-proxy-server", "--no-first-run", "--disable-background-networking", "--disable-component-update", "--disable-sync", "about:blank",
    ], { stdio: ["ignore", "ignore", openSync(`${profile}.log`, "w"), "pipe", "pipe"] });
    this.process.once("exit", () => {
      for (const { reject } of this.#waiting.values()) reject(new Error("the browser ended"));
    });
    let text = "";
    this.process.stdio[4].setEncoding("utf8").on("data", (data) => {
      const messages = (text + data).split("\0");
      text = messages.pop();
      for (const message of messages) this.#receive(JSON.parse(message));
    });
  }

  send(method, params = {}, sessionId = undefined) {
    const id = this.#next++;
    this.process.stdio[3].write(JSON.stringify({ id, method, params, sessionId }) + "\0");
    return new Promise((resolve, reject) => this.#waiting.set(id, { resolve, reject }));
  }

  #receive({ id, result, error, method, params, sessionId }) {
    if (id === undefined) {
      this.emit(method, params, sessionId);
      return;
    }
    const { resolve, reject } = this.#waiting.get(id);
    this.#waiting.delete(id);
    if (error) reject(new Error(error.message));
    else resolve(result);
  }

  // open opens a new tab on url and waits until it is loaded.
  async open(url) {
    const { targetId } = await this.send("Target.createTarget", { url: "about:blank" });
    const { sessionId } = await this.send("Target.attachToTarget", { targetId, flatten: true });
    const tab = new Tab(this, targetId, sessionId);
    await tab.send("Page.enable");
    await tab.navigates(() => tab.send("Page.navigate", { url }));
    return tab;
  }

  async close() {
    if (this.process.exitCode !== null) return;
    const ended = once(this.process, "exit");
    this.process.kill("SIGTERM");
    await ended;
  }
}

// Tab is one page of a browser.
class Tab {
  constructor(browser, targetId, sessionId) {
    Object.assign(this, { browser, targetId, sessionId });
  }

  send(method, params) {
    return this.browser.send(method, params, this.sessionId);
  }

  // evaluate returns the value of an expression in the page, awaited. It counts as a person's act.
  async evaluate(expression) {
    const { result, exceptionDetails } = await this.send("Runtime.evaluate", { expression, awaitPromise: true, returnByValue: true, userGesture: true });
    if (exceptionDetails) throw new Error(exceptionDetails.exception?.description ?? exceptionDetails.text);
    return result.value;
  }

  // call calls a function of page.mjs.
  call(name, ...args) {
    return this.evaluate(`window.page.${name}(...${JSON.stringify(args)})`);
  }

  // navigates does act and waits until the page that it leads to is loaded.
  async navigates(act) {
    const loaded = new Promise((resolve) => {
      const listen = (_, sessionId) => {
        if (sessionId !== this.sessionId) return;
        this.browser.off("Page.loadEventFired", listen);
        resolve();
      };
      this.browser.on("Page.loadEventFired", listen);
    });
    await act();
    await loaded;
  }

  // choose puts files into the page's file input.
  async choose(...files) {
    const { root } = await this.send("DOM.getDocument");
    const { nodeId } = await this.send("DOM.querySelector", { nodeId: root.nodeId, selector: "input[type=file]" });
    await this.send("DOM.setFileInputFiles", { nodeId, files });
  }

  close() {
    return this.browser.send("Target.closeTarget", { targetId: this.targetId });
  }
}
