// Wrong input, closed clients, nobody there: an error with the shared code, and nothing worse.

import kotlin.reflect.KClass
import kotlinx.coroutines.runBlocking
import org.baokit.BadValueException
import org.baokit.BaokitException
import org.baokit.CallerException
import org.baokit.Client
import org.baokit.InternalException
import org.baokit.PolicyException
import org.baokit.SecretPointer
import org.baokit.SecretPrefix
import org.baokit.SecretUri
import org.baokit.ServerException
import org.baokit.TransportException
import org.baokit.codes
import org.baokit.parseSecretRef
import org.junit.jupiter.api.Assertions.assertEquals
import org.junit.jupiter.api.Assertions.assertInstanceOf
import org.junit.jupiter.api.Assertions.assertThrows
import org.junit.jupiter.api.Assertions.assertTrue
import org.junit.jupiter.api.Test
import org.junit.jupiter.api.Timeout

private const val NOBODY = "http://127.0.0.1:1"

@Timeout(60)
class BadInputTest {
    private fun code(call: suspend () -> Any?) = runBlocking { codeOf(call) }

    private val codesOfBadValues = mutableSetOf<String>()

    /** The code of Kotlin's own error, whose text starts with it and holds nothing of the value. */
    private fun badValue(call: suspend () -> Any?): String {
        val error = assertThrows(BadValueException::class.java) { runBlocking { call() } }
        assertInstanceOf(IllegalArgumentException::class.java, error)
        assertTrue(error.message!!.startsWith("${error.code}: ") && "canary" !in error.stackTraceToString())
        codesOfBadValues += error.code
        return error.code
    }

    @Test
    fun `an unset environment and bad settings are named`() {
        assertEquals("MISSING_SETTING", code { Client.fromEnv(emptyMap()) })
        assertEquals("MISSING_SETTING", code { Client() })
        assertEquals("MISSING_SETTING", code { Client(url = NOBODY) })
        assertEquals("INVALID_SETTING", code { Client(url = "gopher://x", token = "t") })
        assertEquals("INVALID_SETTING", code { Client(url = NOBODY, roleId = "only half") })
        assertEquals("INVALID_SETTING", code { Client(url = NOBODY, token = "t", clientKeyPem = "only half") })
        assertEquals("INVALID_SETTING", code { Client(url = NOBODY, token = "t", poolSize = 0U) })
        assertEquals("INVALID_SETTING", code { Client(url = NOBODY, token = "t", maxConcurrent = 0U) })
        assertEquals("INVALID_SETTING", code { Client(url = NOBODY, token = "t", tenantId = "") })
        assertEquals("INVALID_SETTING", code { Client(url = NOBODY, token = "t", allowedMounts = listOf("*")) })
        assertEquals("INVALID_SETTING", code { Client(url = NOBODY, urls = listOf(NOBODY), token = "t") })
        assertEquals("INVALID_SETTING", code { Client(urls = List(65) { "http://127.0.0.1:${it + 1}" }, token = "t") })
        for (timeout in listOf(0.0, -1.0, Double.NaN, Double.POSITIVE_INFINITY, 1e300)) {
            assertEquals("INVALID_SETTING", code { Client(url = NOBODY, token = "t", timeout = timeout) })
        }
        for (seconds in listOf(-1.0, Double.NaN, 1e300)) {
            assertEquals("INVALID_SETTING", code { Client(url = NOBODY, token = "t", renewalThreshold = seconds) })
        }
        assertEquals("UNSUPPORTED_ENGINE", code { Client(url = NOBODY, token = "t", provider = "aws+kv2") })
        assertEquals("UNSUPPORTED_ENGINE", code { Client.fromEnv(emptyMap(), provider = "yaml") })
        val error = assertThrows(CallerException::class.java) { Client.fromEnv(mapOf("OPENBAO_URL" to NOBODY)) }
        assertTrue(error.subject!!.contains("OPENBAO_TOKEN"))
    }

    @Test
    fun `bad URIs and values`() {
        val client = Client(url = NOBODY, token = "t", allowedMounts = listOf("secret"), timeout = 0.5)
        assertEquals("INVALID_URI", code { client.read("") })
        assertEquals("ILLEGAL_SEGMENT", code { client.read("openbao+kv2://secret/a/../b") })
        assertEquals("TENANT_MOUNT_MISMATCH", code { client.read("openbao+kv2://other/a") })
        assertEquals("FRAGMENT_NOT_ALLOWED", code { client.delete("openbao+kv2://secret/a#b") })
        assertEquals("UNSUPPORTED_ENGINE", code { client.read("hashicorp+kv2://secret/a") })
        assertEquals("INVALID_VALUE", code { client.write("openbao+kv2://secret/a#b", Double.NaN) })
        assertEquals("NOT_SUPPORTED", code { client.request("BREW", "sys/mounts") })
        assertEquals("UNSUPPORTED_ENGINE", code { SecretUri.parse("nothing://a/b") })
        assertEquals("DOUBLE_MOUNT_SOURCE", code { SecretUri.parse("openbao+kv2://secret/a", mount = "secret") })
        assertEquals("INVALID_POINTER", code { SecretPointer.parse("file:") })
        assertEquals(SecretUri.parse("OpenBao+KV2://secret/%61"), SecretUri.parse("openbao+kv2://secret/a"))
        client.close()
    }

    @Test
    fun `a value of a wrong type is the language's own error`() {
        val client = Client(url = NOBODY, token = "t", allowedMounts = listOf("secret"), timeout = 0.5)
        for (wrong in listOf(Any(), 'c', mapOf(1 to 2), mapOf(null to 2), Thread.currentThread(), byteArrayOf(1))) {
            assertEquals("INVALID_VALUE", badValue { client.write("openbao+kv2://secret/a#b", wrong) })
            assertEquals("INVALID_VALUE", badValue { client.kv2("secret").write("a", mapOf("b" to listOf(wrong))) })
            assertEquals("INVALID_VALUE", badValue { client.request("POST", "sys/mounts", wrong) })
        }
        client.close()
    }

    @Test
    fun `a text that UTF-8 can't hold is the language's own error`() {
        val half = "canary\ud800"
        val uri = "openbao+kv2://secret/a"
        val client = Client(url = NOBODY, token = "t", allowedMounts = listOf("secret"), timeout = 0.5)
        val kv2 = client.kv2("secret")
        for (value in listOf(half, mapOf("b" to half), mapOf(half to "b"), listOf(half), StringBuilder(half))) {
            assertEquals("INVALID_VALUE", badValue { client.write("$uri#b", value) })
            assertEquals("INVALID_VALUE", badValue { client.rotate("$uri#b", value) })
            assertEquals("INVALID_VALUE", badValue { kv2.write("a", value) })
            assertEquals("INVALID_VALUE", badValue { client.request("POST", "a", value) })
        }
        val bad = uri + half
        val uris = listOf<suspend () -> Any?>(
            { client.read(bad) }, { client.write(bad, 1) }, { client.rotate(bad, 1) }, { client.delete(bad) },
            { client.versions(bad) }, { client.admitPrefix(bad) }, { SecretUri.parse(bad) }, { SecretPrefix.parse(bad) },
            { parseSecretRef(bad) },
        )
        val paths = listOf<suspend () -> Any?>(
            { client.kv2(half) }, { kv2.read(half) }, { kv2.write(half, 1) }, { kv2.delete(half) }, { kv2.versions(half) },
            { client.request("GET", half) },
        )
        val settings = listOf<suspend () -> Any?>(
            { Client(url = half) }, { Client(urls = listOf(half)) }, { Client(token = half) }, { Client(roleId = half) },
            { Client(secretId = half) }, { Client(namespace = half) }, { Client(caPem = half) },
            { Client(clientCertificatePem = half) }, { Client(clientKeyPem = half) }, { Client(tenantId = half) },
            { Client(allowedMounts = listOf(half)) }, { Client(provider = half) }, { Client.fromEnv(mapOf("A" to half)) },
            { Client.fromEnv(mapOf(half to "a")) }, { Client.describeSettings(mapOf("A" to half)) },
            { Client.describeSettings(emptyMap(), half) },
        )
        for ((code, calls) in mapOf("INVALID_URI" to uris, "ILLEGAL_SEGMENT" to paths, "INVALID_SETTING" to settings)) {
            for (call in calls) assertEquals(code, badValue(call))
        }
        assertEquals("AMBIGUOUS_MOUNT", badValue { SecretUri.parse(uri, mount = half) })
        assertEquals("INVALID_POINTER", badValue { SecretPointer.parse(half) })
        assertEquals("NOT_SUPPORTED", badValue { client.request(half, "a") })
        assertEquals(emptySet<String>(), codesOfBadValues - codes().map { it.code })
        client.close()
    }

    @Test
    fun `a value as deep as core allows goes there and back, a deeper one is not sent`() = withServer("dev server") { url ->
        fun deep(levels: Int): Any? = (1..levels).fold("end" as Any?) { value, level ->
            if (level % 2 == 0) mapOf("a" to value) else listOf(value)
        }
        runBlocking {
            val client = Client(url = url, token = "root", allowedMounts = listOf("secret"))
            retry { client.write("openbao+kv2://secret/a", deep(100)) }
            assertEquals(deep(100), client.read("openbao+kv2://secret/a").use { it.expose() })
            client.write("openbao+kv2://secret/a#a", deep(99))
            assertEquals(deep(99), client.read("openbao+kv2://secret/a#a").use { it.expose() })
            client.close()
        }
        SilentServer().use { server ->
            val client = Client(url = server.url, token = "t", allowedMounts = listOf("secret"), timeout = 5.0)
            val endless = mutableListOf<Any?>().also { list -> repeat(2) { list.add(list) } }
            val itself = mutableMapOf<String, Any?>().also { it["a"] = it }
            for (value in listOf(deep(101), deep(102), deep(100_000), endless, itself)) {
                assertEquals("INVALID_VALUE", code { client.write("openbao+kv2://secret/a", value) })
                assertEquals("INVALID_VALUE", code { client.rotate("openbao+kv2://secret/a#a", value) })
                assertEquals("INVALID_VALUE", code { client.kv2("secret").write("a", value) })
                assertEquals("INVALID_VALUE", code { client.request("POST", "secret/data/a", value) })
            }
            assertEquals("INVALID_VALUE", code { client.write("openbao+kv2://secret/a#a", deep(100)) })
            assertEquals(1, server.asked.count)
            client.close()
        }
    }

    @Test
    fun `the native half has a guard of its own, which Swift needs`() {
        val client = org.baokit.ffi.Client(url = NOBODY, token = "t", allowedMounts = listOf("secret"), timeout = 0.5)
        val value = (1..1_000).fold(org.baokit.ffi.Value.Null as org.baokit.ffi.Value) { value, _ ->
            org.baokit.ffi.Value.Array(listOf(value))
        }
        val error = assertThrows(org.baokit.ffi.BaokitException.Caller::class.java) {
            runBlocking { client.write("openbao+kv2://secret/a#b", value) }
        }
        assertEquals("INVALID_VALUE" to 0U, error.failure.code.code to error.failure.tries)
        client.close()
    }

    @Test
    fun `a closed client says so, before, during and for good`() = runBlocking {
        val client = Client(url = NOBODY, token = "t", allowedMounts = listOf("secret"))
        val kv2 = client.kv2("secret")
        client.close()
        client.close()
        assertEquals("CLIENT_CLOSED", codeOf { client.read("openbao+kv2://secret/a") })
        assertEquals("CLIENT_CLOSED", codeOf { client.write("openbao+kv2://secret/a", mapOf("a" to 1)) })
        assertEquals("CLIENT_CLOSED", codeOf { client.lookupSelf() })
        assertEquals("CLIENT_CLOSED", codeOf { kv2.read("a") })
        assertEquals("token", client.settings["credential"])
    }

    @Test
    fun `nobody there`() {
        val client = Client(url = NOBODY, token = "t", allowedMounts = listOf("secret"), timeout = 1.0)
        val error = assertThrows(TransportException::class.java) { runBlocking { client.read("openbao+kv2://secret/a") } }
        assertTrue(error.code in setOf("SERVER_UNREACHABLE", "DEADLINE_EXCEEDED")) { error.code }
        assertEquals("http://127.0.0.1:1", error.node)
        assertTrue(error.tries > 0 && error.retryable && error.advice.isNotEmpty() && error.family == "transport")
        assertTrue(error.message!!.startsWith(error.code))
        client.close()
    }

    @Test
    fun `each family of core's table has its class`() {
        val classes: Map<String, KClass<out BaokitException>> = mapOf(
            "caller" to CallerException::class, "policy" to PolicyException::class, "server" to ServerException::class,
            "transport" to TransportException::class, "bug" to InternalException::class,
        )
        assertEquals(classes.keys, codes().map { it.family }.toSet())
        val row = codes().single { it.code == "TENANT_MOUNT_MISMATCH" }
        Client(url = NOBODY, token = "t").use { client ->
            val error = assertThrows(BaokitException::class.java) { runBlocking { client.read("openbao+kv2://x/y") } }
            assertInstanceOf(classes.getValue(row.family).java, error)
            assertEquals(row.httpStatus.toInt() to row.advice, error.httpStatus to error.advice)
        }
    }
}
