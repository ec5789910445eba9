// The client: the generated half with Kotlin's own values, errors and AutoCloseable.

package org.baokit

import org.baokit.ffi.Client as NativeClient
import org.baokit.ffi.Kv2 as NativeKv2

/** A write or rotation that was carried out. */
public typealias Change = org.baokit.ffi.Change

/** One row of core's table of codes. */
public typealias CodeInfo = org.baokit.ffi.CodeInfo

/** A token's lease after a renewal. */
public typealias Renewal = org.baokit.ffi.Renewal

/** What OpenBao says of the client's own token. */
public typealias TokenInfo = org.baokit.ffi.TokenInfo

/** One version of a secret, without its data. */
public typealias Version = org.baokit.ffi.Version

/** The versions of a secret, oldest first. */
public typealias Versions = org.baokit.ffi.Versions

/** A write below the level of URIs that was carried out. */
public typealias Written = org.baokit.ffi.Written

/** Every error code that there is, from core's table. */
public fun codes(): List<CodeInfo> = org.baokit.ffi.codes()

private const val DEFAULT_PROVIDER = "openbao+kv2"

/**
 * A client of one OpenBao cluster. It may be used from any thread and any coroutine; a coroutine
 * that is cancelled ends its request. A value that is written is a string, boolean, number, list,
 * map with strings as keys, or null.
 */
public class Client private constructor(private val native: NativeClient) : AutoCloseable {
    /**
     * A client whose settings are given in code. What is left out has the default that core has.
     * Sends nothing: the first operation logs in.
     *
     * @param timeout the deadline of a whole operation, in seconds
     * @param renewalThreshold how long before its end a token is renewed, in seconds
     */
    public constructor(
        url: String? = null,
        urls: List<String>? = null,
        token: String? = null,
        roleId: String? = null,
        secretId: String? = null,
        namespace: String? = null,
        caPem: String? = null,
        clientCertificatePem: String? = null,
        clientKeyPem: String? = null,
        verifyTls: Boolean? = null,
        timeout: Double? = null,
        renewalThreshold: Double? = null,
        poolSize: UInt? = null,
        maxConcurrent: UInt? = null,
        tenantId: String? = null,
        allowedMounts: List<String>? = null,
        acceptLegacy: Boolean? = null,
        provider: String = DEFAULT_PROVIDER,
    ) : this(
        translated {
            NativeClient(
                url?.let(::settingText), urls?.map(::settingText), token?.let(::settingText), roleId?.let(::settingText),
                secretId?.let(::settingText), namespace?.let(::settingText), caPem?.let(::settingText),
                clientCertificatePem?.let(::settingText), clientKeyPem?.let(::settingText), verifyTls, timeout, renewalThreshold,
                poolSize, maxConcurrent, tenantId?.let(::settingText), allowedMounts?.map(::settingText), acceptLegacy,
                settingText(provider),
            )
        },
    )

    /** The settings that the client was made with, without the credential. */
    public val settings: Map<String, Any?> = describe(native.settings())

    /** Reads a secret, or one key of it where the URI has a fragment. */
    public suspend fun read(uri: String): Secret = Secret(translated { native.read(uriText(uri)) })

    /** Writes a new version: the whole secret (a map), or with a fragment that key alone. */
    public suspend fun write(uri: String, value: Any?): Change =
        translated { native.write(uriText(uri), toValue(value)) }

    /** Replaces a value; where another writer comes in between it stops with `CAS_CONFLICT`. */
    public suspend fun rotate(uri: String, value: Any?): Change =
        translated { native.rotate(uriText(uri), toValue(value)) }

    /** Deletes the newest version, or the one that `?version=` pins. It can be undeleted. */
    public suspend fun delete(uri: String): Unit = translated { native.delete(uriText(uri)) }

    /** The versions of a secret, oldest first, without their data. */
    public suspend fun versions(uri: String): Versions = translated { native.versions(uriText(uri)) }

    /** The KVv2 engine at a mount, below the level of URIs and of the tenant guard. */
    public fun kv2(mount: String): Kv2 = Kv2(native.kv2(pathText(mount)))

    /** Parses a prefix and shows it to the guard of the tenant's mounts. Sends nothing. */
    public fun admitPrefix(uri: String): SecretPrefix =
        translated { native.admitPrefix(uriText(uri)) }.use(::SecretPrefix)

    /** Sends a request that baokit does not model. The answer is the whole JSON document. */
    public suspend fun request(method: String, path: String, body: Any? = null): SecretValue {
        val named = wellFormed(method, "NOT_SUPPORTED")
        return SecretValue(translated { native.request(named, pathText(path), body?.let { toValue(it) }) })
    }

    /** What OpenBao says of the client's own token. A token that counts its uses loses one. */
    public suspend fun lookupSelf(): TokenInfo = translated { native.lookupSelf() }

    /** Renews the client's token by so many seconds, or by its own period. */
    public suspend fun renewSelf(increment: ULong? = null): Renewal = translated { native.renewSelf(increment) }

    /**
     * Wipes token and credential. Nothing more is sent for what is under way, and everything later
     * fails with `CLIENT_CLOSED`. To say so the native handle stays until the object is collected.
     */
    override fun close(): Unit = native.end()

    override fun toString(): String = "Client(nodes=${settings["nodes"]})"

    public companion object {
        /** A client with the settings of an environment: `OPENBAO_URL`, `OPENBAO_TOKEN` and so on. */
        public fun fromEnv(env: Map<String, String> = System.getenv(), provider: String = DEFAULT_PROVIDER): Client =
            Client(translated { NativeClient.fromEnv(settings(env), settingText(provider)) })

        /** The settings that an environment comes to, without the credential and without a client. */
        public fun describeSettings(
            env: Map<String, String> = System.getenv(),
            provider: String = DEFAULT_PROVIDER,
        ): Map<String, Any?> = describe(translated { org.baokit.ffi.describeSettings(settings(env), settingText(provider)) })

        private fun settings(env: Map<String, String>) =
            env.entries.associate { (key, value) -> settingText(key) to settingText(value) }

        // core describes settings as an object, whose keys are strings.
        @Suppress("UNCHECKED_CAST")
        private fun describe(value: org.baokit.ffi.Value) = toPlain(value) as Map<String, Any?>
    }
}

/** The KVv2 engine at one mount. */
public class Kv2 internal constructor(private val native: NativeKv2) {
    /** Reads a secret, or one version of it. */
    public suspend fun read(path: String, version: ULong? = null): Secret =
        Secret(translated { native.read(pathText(path), version) })

    /** Writes a whole secret; where [cas] is given, only if that is the current version. */
    public suspend fun write(path: String, data: Any?, cas: ULong? = null): Written =
        translated { native.write(pathText(path), toValue(data), cas) }

    /** Deletes these versions, or the newest where none is named. */
    public suspend fun delete(path: String, versions: List<ULong> = emptyList()): Unit =
        translated { native.delete(pathText(path), versions) }

    /** The versions of a secret, oldest first. */
    public suspend fun versions(path: String): Versions = translated { native.versions(pathText(path)) }
}
