// The one class of baokit's errors. Which there are, and what each means, is core's table; the
// module fills the fields from it.

/** A failed operation: what failed, where, after how many tries, and what to do next. */
export class BaokitError extends Error {
  constructor(message, code, family, httpStatus, retryable, advice, subject, node, tries) {
    super(message);
    this.code = code;
    this.family = family;
    this.httpStatus = httpStatus;
    this.retryable = retryable;
    this.advice = advice;
    this.subject = subject;
    this.node = node;
    this.tries = tries;
  }
}
// On the prototype, as with the errors of the language, so that it is not listed as a field.
Object.defineProperty(BaokitError.prototype, "name", { value: "BaokitError", configurable: true, writable: true });
