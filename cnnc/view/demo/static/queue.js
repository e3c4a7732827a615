// Work that is done one after the other: a runtime computes one model at a time.

class Queue {
  constructor() {
    this.last = Promise.resolve();
  }

  // The result of `work`, which starts when all that was added before is done.
  add(work) {
    const done = this.last.then(work, work);
    this.last = done.catch(() => {});
    return done;
  }
}
