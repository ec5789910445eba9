// Errors: one class for each family of core's table; codes, texts and advice are core's.

package org.baokit

import org.baokit.ffi.Failure
import org.baokit.ffi.BaokitException as NativeException

/** A failed operation: what failed, where, after how many tries, and what to do next. */
public sealed class BaokitException(failure: Failure) : Exception(failure.message) {
    /** The stable code, such as `SECRET_NOT_FOUND`. */
    public val code: String = failure.code.code

    /** Who has to act: `caller`, `policy`, `server`, `transport` or `bug`. */
    public val family: String = failure.code.family

    /** The HTTP status with which the Secrets API reports this code. */
    public val httpStatus: Int = failure.code.httpStatus.toInt()

    /** Whether the same call may succeed later without anybody changing anything. */
    public val retryable: Boolean = failure.code.retryable

    /** What to do next, in one line. */
    public val advice: String = failure.code.advice

    /** The key, path or host at fault, where one is known. */
    public val subject: String? = failure.subject

    /** The node that was asked last, where one was asked. */
    public val node: String? = failure.node

    /** How many requests were sent, 0 where none was. */
    public val tries: Int = failure.tries.toInt()
}

/** The program that called: a malformed URI or setting, an absent secret, a conflict. */
public class CallerException internal constructor(failure: Failure) : BaokitException(failure)

/** Whoever grants rights: the tenant guard, OpenBao's policies, a refused log-in. */
public class PolicyException internal constructor(failure: Failure) : BaokitException(failure)

/** Whoever runs the server, or the proxy before it. */
public class ServerException internal constructor(failure: Failure) : BaokitException(failure)

/** The network between: nobody reachable, no answer in time, an outcome that is not known. */
public class TransportException internal constructor(failure: Failure) : BaokitException(failure)

/** baokit itself: please report it. */
public class InternalException internal constructor(failure: Failure) : BaokitException(failure)

/**
 * What is no value, URI or setting at all, so that core never saw it: an object that JSON has nothing
 * for, a key that is no string, a text with half a surrogate pair, which UTF-8 can't hold.
 */
public class BadValueException internal constructor(
    /** `INVALID_VALUE`, or for a text that is something else the code of that, such as `INVALID_URI`. */
    public val code: String,
    message: String,
) : IllegalArgumentException("$code: $message")

/** Runs a call of the generated half, and throws its errors as this package's. */
internal inline fun <T> translated(call: () -> T): T =
    try {
        call()
    } catch (error: NativeException) {
        throw when (error) {
            is NativeException.Caller -> CallerException(error.failure)
            is NativeException.Policy -> PolicyException(error.failure)
            is NativeException.Server -> ServerException(error.failure)
            is NativeException.Transport -> TransportException(error.failure)
            is NativeException.Internal -> InternalException(error.failure)
        }
    }
