// Cancellation, memory, and one log-in for a thousand first calls.

import java.io.File
import java.util.concurrent.TimeUnit
import kotlinx.coroutines.Dispatchers
import kotlinx.coroutines.TimeoutCancellationException
import kotlinx.coroutines.async
import kotlinx.coroutines.awaitAll
import kotlinx.coroutines.cancelAndJoin
import kotlinx.coroutines.launch
import kotlinx.coroutines.runBlocking
import kotlinx.coroutines.withTimeout
import org.baokit.Client
import org.junit.jupiter.api.Assertions.assertEquals
import org.junit.jupiter.api.Assertions.assertThrows
import org.junit.jupiter.api.Assertions.assertTrue
import org.junit.jupiter.api.Test
import org.junit.jupiter.api.Timeout

private const val URI = "openbao+kv2://secret/app/api"
private const val ROUNDS = 3

@Timeout(120)
class LifeTest {
    @Test
    fun `a cancelled coroutine leaves no request running`() = SilentServer().use { server ->
        runBlocking {
            val client = Client(url = server.url, token = "t", allowedMounts = listOf("secret"))
            val job = launch(Dispatchers.Default) { client.read(URI) }
            assertTrue(server.asked.await(5, TimeUnit.SECONDS))
            assertEquals(1, server.gone.count)
            job.cancelAndJoin()
            assertTrue(server.gone.await(1, TimeUnit.SECONDS)) { "its connection is still open" }
            client.close()
        }
    }

    @Test
    fun `a time limit around a call ends it as well`() = SilentServer().use { server ->
        val client = Client(url = server.url, token = "t", allowedMounts = listOf("secret"))
        assertThrows(TimeoutCancellationException::class.java) {
            runBlocking { withTimeout(2_000) { client.write(URI, mapOf("a" to 1)) } }
        }
        assertEquals(0, server.asked.count) { "it was not asked before the time was over" }
        assertTrue(server.gone.await(1, TimeUnit.SECONDS)) { "its connection is still open" }
        client.close()
    }

    @Test
    fun `a client that is closed ends what is under way`() = SilentServer().use { server ->
        runBlocking {
            val client = Client(url = server.url, token = "t", allowedMounts = listOf("secret"), timeout = 20.0)
            val call = async(Dispatchers.Default) { codeOf { client.read(URI) } }
            assertTrue(server.asked.await(5, TimeUnit.SECONDS))
            client.close()
            assertEquals("CLIENT_CLOSED", call.await())
        }
    }

    @Test
    fun `a thousand first calls log in once`() = CountingServer().use { server ->
        runBlocking(Dispatchers.Default) {
            val client = Client(url = server.url, roleId = "r", secretId = "s", allowedMounts = listOf("secret"))
            val values = List(1000) { async { client.read("$URI#token").use { it.exposeString() } } }.awaitAll()
            assertEquals(setOf("value"), values.toSet())
            println("kotlin: 1,000 concurrent first calls: ${server.logins} log-in, ${server.reads} reads")
            assertEquals(1, server.logins.get())
            client.close()
        }
    }

    @Test
    fun `30,000 calls leave memory flat`() = withServer("dev server") { url ->
        runBlocking(Dispatchers.Default) {
            val client = Client(url = url, token = "root", allowedMounts = listOf("secret"))
            retry { client.write(URI, mapOf("a" to "b")) }
            suspend fun calls(count: Int) = repeat(count) { client.read(URI).use { secret -> secret.expose() } }
            suspend fun cancelled(count: Int) = repeat(count) { launch { client.read(URI) }.cancelAndJoin() }
            val rounds = List(ROUNDS + 1) {
                calls(10_000)
                cancelled(1_000)
                memory()
            }
            println("kotlin: after each round of 10,000 calls and 1,000 cancelled ones, in KiB: heap " +
                "${rounds.map { it.first }}, resident ${rounds.map { it.second }}")
            // The first round is the warm-up. The three others together may keep 4 MiB: not even 130 bytes
            // a call, while the JVM itself takes 1 to 2 MiB in that time.
            assertTrue(rounds.last().first - rounds.first().first < 1_024) { "the heap grows: $rounds" }
            assertTrue(rounds.last().second - rounds.first().second < 4_096) { "the process grows: $rounds" }
            client.close()
        }
    }

    /** Heap in use after a collection, and resident memory, in KiB. */
    private fun memory(): Pair<Long, Long> {
        repeat(3) {
            System.gc()
            Thread.sleep(100)
        }
        val runtime = Runtime.getRuntime()
        val resident = File("/proc/self/status").readLines().first { it.startsWith("VmRSS:") }
        return (runtime.totalMemory() - runtime.freeMemory()) / 1024 to resident.filter(Char::isDigit).toLong()
    }
}
