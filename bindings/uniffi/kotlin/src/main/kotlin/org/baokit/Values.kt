// Plain Kotlin values to and from the values that cross over to Rust.

package org.baokit

import org.baokit.ffi.Value

// As deep as core reads JSON back. Without a limit a list that holds itself would end the process.
private const val MAX_DEPTH = 128

/**
 * A string, boolean, number, list, map with strings as keys, or null. Anything else is the
 * programmer's mistake; what is said of it names its class and never the value.
 */
internal fun toValue(plain: Any?, depth: Int = 0): Value {
    require(depth <= MAX_DEPTH) { "the value is nested more than $MAX_DEPTH levels deep" }
    return when (plain) {
        null -> Value.Null
        is CharSequence -> Value.Text(plain.toString())
        is Boolean -> Value.Flag(plain)
        is Byte, is Short, is Int, is Long -> Value.Integer((plain as Number).toLong())
        is UByte -> Value.Unsigned(plain.toULong())
        is UShort -> Value.Unsigned(plain.toULong())
        is UInt -> Value.Unsigned(plain.toULong())
        is ULong -> Value.Unsigned(plain)
        is Float, is Double -> Value.Number((plain as Number).toDouble())
        is Iterable<*> -> Value.Array(plain.map { toValue(it, depth + 1) })
        is Array<*> -> Value.Array(plain.map { toValue(it, depth + 1) })
        is Map<*, *> -> Value.Object(plain.entries.associate { (key, value) -> name(key) to toValue(value, depth + 1) })
        else -> throw IllegalArgumentException("an object of ${plain.javaClass.name} is no JSON value")
    }
}

private fun name(key: Any?): String =
    key as? String ?: throw IllegalArgumentException("a key of a map is no string")

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
