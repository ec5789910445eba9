// A canary in every place that holds a secret or a token: nothing that prints may show it.

import com.fasterxml.jackson.databind.ObjectMapper
import java.io.ByteArrayOutputStream
import java.io.NotSerializableException
import java.io.ObjectOutputStream
import java.io.PrintWriter
import java.io.StringWriter
import kotlinx.coroutines.runBlocking
import org.baokit.Client
import org.baokit.ffi.Value
import org.junit.jupiter.api.Assertions.assertEquals
import org.junit.jupiter.api.Assertions.assertFalse
import org.junit.jupiter.api.Assertions.assertThrows
import org.junit.jupiter.api.Assertions.assertTrue
import org.junit.jupiter.api.Test
import org.junit.jupiter.api.Timeout

private const val CANARY = "canary-7f31"
private const val URI = "openbao+kv2://secret/app/canary"

/** All the ways in which an object gets into a log. */
private fun prints(thing: Any?): List<String> = buildList {
    add("$thing")
    add(String.format("%s", thing))
    add("${listOf(thing)} ${mapOf("it" to thing)} ${thing to 1}")
    add("${Result.success(thing)}")
    if (thing is Throwable) {
        add(StringWriter().also { thing.printStackTrace(PrintWriter(it)) }.toString())
        add("${thing.message} ${thing.localizedMessage} ${thing.cause} ${thing.suppressed.toList()}")
    }
    // What a careless reflective serialiser finds; one that gives up is as good.
    add(runCatching { ObjectMapper().writeValueAsString(thing) }.getOrElse { "${it.message}" })
    add(thing?.javaClass?.declaredFields.orEmpty().joinToString { field ->
        runCatching { field.isAccessible = true; "${field.get(thing)}" }.getOrDefault("")
    })
}

private fun assertSilent(thing: Any?) = prints(thing).forEach { assertFalse(CANARY in it) { "it shows: $it" } }

@Timeout(60)
class RedactionTest {
    @Test
    fun `the ways of printing would show a canary`() {
        data class Leaky(val value: String)
        assertEquals(true, prints(Leaky(CANARY)).all { CANARY in it })
        assertTrue(prints(IllegalStateException(CANARY)).take(6).all { CANARY in it })
    }

    @Test
    fun `secrets, clients and values show nothing`() = withServer("dev server") { url ->
        runBlocking {
            val root = Client(url = url, token = "root", allowedMounts = listOf("secret"))
            retry { root.write(URI, mapOf("token" to CANARY)) }
            val secret = root.read(URI)
            val one = root.read("$URI#token")
            val document = root.request("GET", "secret/data/app/canary")
            for (thing in listOf(secret, one, document, root, root.kv2("secret"), root.versions(URI))) assertSilent(thing)
            // The generated values are the inside of `expose`; printed by mistake, they show nothing either.
            val text = Value.Text(CANARY)
            for (value in listOf(text, text.copy(), Value.Array(listOf(text)), Value.Object(mapOf("a" to text)))) {
                assertFalse(CANARY in "$value ${listOf(value)} ${String.format("%s", value)}")
            }
            assertEquals(CANARY, one.exposeString())
            assertEquals("Secret(version=1, [redacted])", "$secret")
            assertFalse(secret.equals(root.read(URI)))
            assertThrows(NotSerializableException::class.java) { ObjectOutputStream(ByteArrayOutputStream()).writeObject(secret) }
            assertThrows(NotSerializableException::class.java) { ObjectOutputStream(ByteArrayOutputStream()).writeObject(root) }
            secret.close()
            assertEquals("Secret(version=1, [redacted])", "$secret")
            assertThrows(IllegalStateException::class.java) { secret.exposeJson() }
        }
    }

    @Test
    fun `clients and settings show no credential`() {
        val clients = listOf(
            Client(url = "http://127.0.0.1:1", token = CANARY),
            Client(url = "http://127.0.0.1:1", roleId = CANARY, secretId = CANARY),
            Client.fromEnv(mapOf("OPENBAO_URL" to "http://127.0.0.1:1", "OPENBAO_TOKEN" to CANARY)),
        )
        for (client in clients) client.use {
            assertSilent(it)
            assertSilent(it.settings)
        }
    }

    @Test
    fun `errors show neither values nor tokens`() = runBlocking {
        val errors = mutableListOf<Throwable>()
        suspend fun fails(call: suspend () -> Any?) {
            errors += runCatching { call() }.exceptionOrNull() ?: error("it succeeded")
        }
        val client = Client(url = "http://127.0.0.1:1", token = CANARY, timeout = 0.5, allowedMounts = listOf("secret"))
        fails { client.write(URI, CANARY) }
        fails { client.write(URI, mapOf("a" to CANARY)) }
        fails { client.write(URI, mapOf("a" to StringBuilder(CANARY) to 1)) }
        fails { client.write(URI, mapOf(StringBuilder(CANARY) to 1)) }
        fails { client.write(URI, CANARY + "\uD800") }
        fails { client.rotate("$URI?version=1", CANARY) }
        fails { client.kv2("secret").write("a", listOf(CANARY)) }
        fails { client.request("POST", "sys/x", mapOf("a" to CANARY)) }
        fails { client.read(CANARY) }
        fails { Client(url = "http://127.0.0.1:1", token = "$CANARY\n") }
        fails { Client(url = "http://127.0.0.1:1", roleId = CANARY, secretId = "$CANARY ") }
        fails { Client(url = "http://user:$CANARY@127.0.0.1:1", token = "t") }
        fails { Client(url = "http://127.0.0.1:1", token = "t", caPem = CANARY) }
        fails { Client(url = "http://127.0.0.1:1", token = "t", clientCertificatePem = CANARY, clientKeyPem = CANARY) }
        fails { Client.fromEnv(mapOf("OPENBAO_URL" to "http://127.0.0.1:1", "OPENBAO_TIMEOUT" to CANARY, "OPENBAO_TOKEN" to "t")) }
        errors.forEach { assertSilent(it) }
        client.close()
    }
}

/** The dev server needs a moment to listen. */
suspend fun <T> retry(call: suspend () -> T): T {
    repeat(100) {
        try {
            return call()
        } catch (_: org.baokit.TransportException) {
            kotlinx.coroutines.delay(50)
        }
    }
    return call()
}
