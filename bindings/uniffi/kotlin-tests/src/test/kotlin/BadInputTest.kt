// Wrong input, closed clients, nobody there: an error with the shared code, and nothing worse.

import kotlin.reflect.KClass
import kotlinx.coroutines.runBlocking
import org.baokit.BaokitException
import org.baokit.CallerException
import org.baokit.Client
import org.baokit.InternalException
import org.baokit.PolicyException
import org.baokit.SecretPointer
import org.baokit.SecretUri
import org.baokit.ServerException
import org.baokit.TransportException
import org.baokit.codes
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
        assertEquals("INVALID_SETTING", code { Client(urls = List(65) { "http://127.0.0.1:${it + 1}" }, token = "t") })
        for (timeout in listOf(0.0, -1.0, Double.NaN, Double.POSITIVE_INFINITY, 1e300)) {
            assertEquals("INVALID_SETTING", code { Client(url = NOBODY, token = "t", timeout = timeout) })
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
        val endless = mutableListOf<Any?>().also { it.add(it) }
        for (wrong in listOf(Any(), 'c', mapOf(1 to 2), mapOf(null to 2), endless, Thread.currentThread(), byteArrayOf(1))) {
            assertThrows(IllegalArgumentException::class.java) {
                runBlocking { client.write("openbao+kv2://secret/a#b", wrong) }
            }
        }
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
