/** What a function may return: nothing, one record, or many. */
export type Output = object | object[] | null | undefined | void;

/** A function over one record: the default export of its module. */
export type Handler = (record: any) => Output;

/** Why one record failed. Thrown by a function, it fails that record alone. */
export class Failure extends Error {
  constructor(code: string, message: string, options?: { retryable?: boolean });
  readonly code: string;
  readonly retryable: boolean;
}

type Line = (message: unknown) => void;

/** Lines for the function's log. */
export const log: { error: Line; warn: Line; info: Line; debug: Line; trace: Line };

/** The value of this name under the function's `env:` in the pipeline file, or null. */
export function config(name: string): string | null;

/** Adds to a counter of this function among the engine's metrics; by 1 unless told otherwise. */
export function counter(name: string, value?: number): void;

/** Sets a gauge of this function, with a finite value. */
export function gauge(name: string, value: number): void;

/** Which call this is, and how many milliseconds it may still run. */
export function context(): { pipeline: string; node: string; function: string; invocationId: string; timeLeftMs: number };

/** What the engine gets for one record's JSON text. */
export type Answer =
  | { tag: "records"; val: string[] }
  | { tag: "failed"; val: { code: string; message: string; retryable: boolean } };

/** What the engine gets for JSON texts of records. For unit tests. */
export function process(handler: Handler, texts: string[]): Answer[];
