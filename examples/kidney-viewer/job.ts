// The worker as the page sees it: one scan at a time; stopping ends the worker, and the next scan gets a new one.
import type { Answer, Request, Result } from "./messages.ts";

export class Job {
  /** Told everything the worker says but results. */
  onAnswer: (answer: Exclude<Answer, { kind: "result" }>) => void = () => {};
  private worker: Worker | null = null;
  private finish: ((result: Result | null) => void) | null = null;

  /** Starts the worker, which opens the GPU and loads the model. */
  start(): Worker {
    if (this.worker) return this.worker;
    const worker = new Worker("worker.js", { type: "module" });
    worker.onmessage = ({ data }: MessageEvent<Answer>) => this.take(data);
    worker.onerror = (event) =>
      this.take({ kind: "error", name: "Error", message: event.message ?? "the worker did not start" });
    return (this.worker = worker);
  }

  /** Segments a scan; one that is under way is stopped. Null where it was stopped or failed, which onAnswer was told. */
  segment(request: Request): Promise<Result | null> {
    if (this.finish) this.stop();
    const worker = this.start();
    return new Promise((resolve) => {
      this.finish = resolve;
      worker.postMessage(request);
    });
  }

  /** Ends the worker, whatever it does. */
  stop(): void {
    this.worker?.terminate();
    this.worker = null;
    this.done(null);
  }

  private take(answer: Answer): void {
    if (answer.kind === "result") return this.done(answer.result);
    this.onAnswer(answer);
    if (answer.kind !== "error") return;
    if (answer.name === "DataError") this.done(null);
    else this.stop(); // a lost device, or one without memory, is not to be used again
  }

  private done(result: Result | null): void {
    this.finish?.(result);
    this.finish = null;
  }
}
