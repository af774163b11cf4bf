// What a function's code uses of Riverhook: failures with a code, the log, configuration, metrics, the call's context.
//
// Inside a component `component.js` has put the engine's functions in place before this is used. Elsewhere, as in unit
// tests, the log goes to the console, configuration comes from the environment, and metrics go nowhere.

const environment = () => globalThis.process?.env ?? {};

const outside = {
  log: (level, message) => console.error(`${level}: ${message}`),
  config: (name) => environment()[name] ?? null,
  counter: () => {},
  gauge: () => {},
  context: () => ({ pipeline: "", node: "", function: "", invocationId: "", deadlineMs: 1000 }),
};

const host = () => globalThis[Symbol.for("riverhook.host")] ?? outside;

/** Why one record failed. Thrown by a function, it fails that record alone. */
export class Failure extends Error {
  /**
   * @param {string} code a short name of the kind of error, such as `Address.Unknown`
   * @param {string} message what went wrong, for a person
   * @param {{retryable?: boolean}} [options] whether the same may succeed later
   */
  constructor(code, message, { retryable = false } = {}) {
    super(message);
    this.name = "Failure";
    this.code = code;
    this.retryable = retryable;
  }
}

const line = (level) => (message) => host().log(level, String(message));

/** Lines for the function's log. */
export const log = { error: line("error"), warn: line("warn"), info: line("info"), debug: line("debug"), trace: line("trace") };

/** The value of this name under the function's `env:` in the pipeline file, or null. */
export const config = (name) => host().config(name) ?? null;

/** Adds to a counter of this function among the engine's metrics; by 1 unless told otherwise. */
export const counter = (name, value = 1) => host().counter(name, value);

/** Sets a gauge of this function, with a finite value. */
export const gauge = (name, value) => host().gauge(name, value);

/** Which call this is, and how many milliseconds it may still run. */
export function context() {
  const { pipeline, node, function: name, invocationId, deadlineMs } = host().context();
  return { pipeline, node, function: name, invocationId, timeLeftMs: Number(deadlineMs) };
}

/**
 * What the engine gets for JSON texts of records: reads them, calls the function for each, and writes what it returns.
 * Nothing returned (null, undefined) is no record, an array is as many as it has, anything else is one.
 */
export function process(handler, texts) {
  return texts.map((text) => {
    try {
      const output = handler(JSON.parse(text));
      if (typeof output?.then === "function") {
        throw new Failure("Function.Async", "the function must answer at once, not with a promise");
      }
      const records = Array.isArray(output) ? output : output == null ? [] : [output];
      return { tag: "records", val: records.map(write) };
    } catch (error) {
      return { tag: "failed", val: asFailure(error) };
    }
  });
}

function write(record) {
  const text = JSON.stringify(record);
  if (text === undefined) {
    throw new Failure("Function.Error", `a ${typeof record} is not a record`);
  }
  return text;
}

function asFailure(error) {
  if (error instanceof Failure) {
    return { code: error.code, message: error.message, retryable: error.retryable };
  }
  const isError = error instanceof Error;
  return { code: isError ? error.name : "Error", message: isError ? error.message : String(error), retryable: false };
}
