// Secret URIs, prefixes and pointers: what core's parser accepted, as plain values.

package org.baokit

import org.baokit.ffi.SecretPointer as NativePointer
import org.baokit.ffi.SecretPrefix as NativePrefix
import org.baokit.ffi.SecretRef as NativeRef
import org.baokit.ffi.SecretUri as NativeUri

/** What is known by its canonical text: that is how it prints and compares. */
public sealed class SecretName(private val text: String) {
    override fun equals(other: Any?): Boolean =
        other is SecretName && other.javaClass == javaClass && other.text == text

    override fun hashCode(): Int = text.hashCode()

    /** The canonical text. */
    override fun toString(): String = text
}

/** What [parseSecretRef] gives: a URI or a pointer. */
public sealed interface SecretRef

/** Parses a pointer where the text is one, else a URI by the strict rules. */
public fun parseSecretRef(text: String): SecretRef =
    when (val found = translated { org.baokit.ffi.parseSecretRef(uriText(text)) }) {
        is NativeRef.Uri -> found.uri.use(::SecretUri)
        is NativeRef.Pointer -> found.pointer.use(::SecretPointer)
    }

private fun mount(text: String?) = text?.let { wellFormed(it, "AMBIGUOUS_MOUNT") }

/** The canonical URI of one secret, or of one key in it. */
public class SecretUri internal constructor(native: NativeUri) : SecretName(native.toString()), SecretRef {
    /** Provider and engine, such as `openbao+kv2`. */
    public val provider: String = native.provider()

    /** The mount, decoded. */
    public val mount: String = native.mount()

    /** The path below the mount, decoded. */
    public val path: String = native.path()

    /** The key inside the secret, decoded, where one is named. */
    public val fragment: String? = native.fragment()

    /** The pinned version, if any. */
    public val version: ULong? = native.version()

    public companion object {
        /** Parses a URI. [mount] is one that was given beside it, which is refused. */
        public fun parse(text: String, acceptLegacy: Boolean = false, mount: String? = null): SecretUri =
            translated { NativeUri.parse(uriText(text), acceptLegacy, mount(mount)) }.use(::SecretUri)
    }
}

/** A prefix: what a list, a search or a policy names. */
public class SecretPrefix internal constructor(native: NativePrefix) : SecretName(native.toString()) {
    public companion object {
        /** Parses a prefix; with [wildcard] it may end in `/` and a star. */
        public fun parse(
            text: String,
            acceptLegacy: Boolean = false,
            wildcard: Boolean = false,
            mount: String? = null,
        ): SecretPrefix =
            translated { NativePrefix.parse(uriText(text), acceptLegacy, wildcard, mount(mount)) }.use(::SecretPrefix)
    }
}

/** A `file:` or `db:credentials:` pointer. */
public class SecretPointer internal constructor(native: NativePointer) : SecretName(native.toString()), SecretRef {
    public companion object {
        /** Parses a pointer. */
        public fun parse(text: String): SecretPointer =
            translated { NativePointer.parse(wellFormed(text, "INVALID_POINTER")) }.use(::SecretPointer)
    }
}
