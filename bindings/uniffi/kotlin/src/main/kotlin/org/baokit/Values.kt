// Plain Kotlin values to and from the values that cross over to Rust.

package org.baokit

import org.baokit.ffi.Value
import org.baokit.ffi.requireDepth

/**
 * A string, boolean, number, list, map with strings as keys, or null. Anything else is the
 * programmer's mistake; what is said of it names its class and never the value. A list that holds
 * itself comes to an end because nothing is nested deeper than core allows.
 */
internal fun toValue(plain: Any?, levels: UInt = 0U): Value {
    fun below(item: Any?) = toValue(item, levels + 1U)
    if (plain is Iterable<*> || plain is Array<*> || plain is Map<*, *>) translated { requireDepth(levels + 1U) }
    return when (plain) {
        null -> Value.Null
        is CharSequence -> Value.Text(wellFormed(plain.toString(), "INVALID_VALUE"))
        is Boolean -> Value.Flag(plain)
        is Byte, is Short, is Int, is Long -> Value.Integer((plain as Number).toLong())
        is UByte -> Value.Unsigned(plain.toULong())
        is UShort -> Value.Unsigned(plain.toULong())
        is UInt -> Value.Unsigned(plain.toULong())
        is ULong -> Value.Unsigned(plain)
        is Float, is Double -> Value.Number((plain as Number).toDouble())
        is Iterable<*> -> Value.Array(plain.map(::below))
        is Array<*> -> Value.Array(plain.map(::below))
        is Map<*, *> -> Value.Object(plain.entries.associate { (key, value) -> name(key) to below(value) })
        else -> throw BadValueException("INVALID_VALUE", "an object of ${plain.javaClass.name} is no JSON value")
    }
}

private fun name(key: Any?): String {
    if (key !is String) throw BadValueException("INVALID_VALUE", "a key of a map is no string")
    return wellFormed(key, "INVALID_VALUE")
}

/**
 * A text as it may cross over. Java's strings may hold half a surrogate pair, which UTF-8 can't; core
 * never sees such a text, so [code] says what it was to be.
 */
internal fun wellFormed(text: String, code: String): String {
    if (!Charsets.UTF_8.newEncoder().canEncode(text)) throw BadValueException(code, "the text has half a surrogate pair")
    return text
}

internal fun uriText(text: String): String = wellFormed(text, "INVALID_URI")

/** A mount or a path on its own. */
internal fun pathText(text: String): String = wellFormed(text, "ILLEGAL_SEGMENT")

internal fun settingText(text: String): String = wellFormed(text, "INVALID_SETTING")

/** The way back: Long, ULong where a Long is too small, Double, String, Boolean, List, Map, null. */
internal fun toPlain(value: Value): Any? =
    when (value) {
        is Value.Null -> null
        is Value.Flag -> value.value
        is Value.Integer -> value.value
        is Value.Unsigned -> value.value
        is Value.Number -> value.value
        is Value.Text -> value.value
        is Value.Array -> value.items.map(::toPlain)
        is Value.Object -> value.entries.mapValues { toPlain(it.value) }
    }
