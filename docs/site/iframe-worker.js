// Where a page was opened from a disk, a browser starts no Worker, and the search needs one. This class does its work in a
// frame of the page: the script of the worker runs there, and messages go both ways as events.
if (location.protocol === "file:") {
  window.Worker = class extends EventTarget {
    constructor(url) {
      super();
      this.frame = Object.assign(document.createElement("iframe"), { hidden: true, srcdoc: "<!doctype html>" });
      this.started = new Promise((done) => (this.frame.onload = done)).then(() => this.start(url));
      document.body.append(this.frame);
    }

    start(url) {
      const inside = this.frame.contentWindow;
      inside.postMessage = (data) => this.dispatchEvent(new MessageEvent("message", { data }));
      inside.importScripts = (...urls) => Promise.all(urls.map((each) => this.load(each)));
      return this.load(url);
    }

    load(url) {
      const page = this.frame.contentDocument;
      const script = Object.assign(page.createElement("script"), { src: new URL(url, document.baseURI).href });
      page.body.append(script);
      return new Promise((done, failed) => Object.assign(script, { onload: done, onerror: failed }));
    }

    postMessage(data) {
      this.started.then(() => this.frame.contentWindow.dispatchEvent(new MessageEvent("message", { data })));
    }

    terminate() {
      this.frame.remove();
    }
  };
}
