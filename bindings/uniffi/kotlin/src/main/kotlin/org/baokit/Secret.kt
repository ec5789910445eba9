// Secrets: redacted wherever they are printed, gone when they are closed.

package org.baokit

import org.baokit.ffi.Secret as NativeSecret
import org.baokit.ffi.SecretValue as NativeSecretValue

/**
 * A secret as it was read. The value leaves through `expose` alone, and [close] wipes it; what was
 * exposed by then is the program's own.
 */
public class Secret internal constructor(private val native: NativeSecret) : AutoCloseable {
    /** The version, counted from 1. */
    public val version: ULong = native.version()

    /** When the version was written: RFC 3339 in UTC, by the server's clock. */
    public val createdTime: String = native.createdTime()

    /** The key's `custom_metadata`, which belongs to all its versions. */
    public val customMetadata: Map<String, String> = native.customMetadata()

    /** The value as plain Kotlin: the whole map, or what the URI's fragment names. */
    public fun expose(): Any? = toPlain(native.exposeValue())

    /** The value as text; `WRONG_TYPE` where it is no string. */
    public fun exposeString(): String = translated { native.exposeString() }

    /** The value as a JSON document. */
    public fun exposeJson(): String = native.exposeJson()

    override fun close(): Unit = native.close()

    override fun toString(): String = "Secret(version=$version, [redacted])"
}

/** A JSON document that is kept secret: what [Client.request] answers. */
public class SecretValue internal constructor(private val native: NativeSecretValue) : AutoCloseable {
    /** The value as plain Kotlin. */
    public fun expose(): Any? = toPlain(native.exposeValue())

    /** The value as text; `WRONG_TYPE` where it is no string. */
    public fun exposeString(): String = translated { native.exposeString() }

    /** The value as a JSON document. */
    public fun exposeJson(): String = native.exposeJson()

    override fun close(): Unit = native.close()

    override fun toString(): String = "SecretValue([redacted])"
}
