// Servers for the tests: the dev server, the real one, one that never answers, one that counts.

import com.sun.net.httpserver.HttpServer
import java.io.File
import java.net.InetAddress
import java.net.InetSocketAddress
import java.net.ServerSocket
import java.net.SocketException
import java.nio.file.Files
import java.util.concurrent.CountDownLatch
import java.util.concurrent.Executors
import java.util.concurrent.TimeUnit
import java.util.concurrent.atomic.AtomicInteger
import kotlin.concurrent.thread

val LOOPBACK: InetAddress = InetAddress.getByName("127.0.0.1")

/** What tests/run says where things are; a test that misses one fails and says so. */
fun given(name: String): String = System.getenv(name) ?: error("$name is not set: start this with tests/run uniffi")

fun freePort(): Int = ServerSocket(0, 1, LOOPBACK).use { it.localPort }

/** A child process that ends with the test. */
class Child(private val process: Process) : AutoCloseable {
    override fun close() {
        process.destroy()
        if (!process.waitFor(5, TimeUnit.SECONDS)) process.destroyForcibly().waitFor()
    }
}

private fun start(command: List<String>, home: File): Process {
    val builder = ProcessBuilder(command).redirectErrorStream(true).redirectOutput(ProcessBuilder.Redirect.DISCARD)
    builder.environment()["HOME"] = home.path
    return builder.start()
}

/** Runs against the dev server, or against `bao server -dev`. */
fun withServer(kind: String, body: (url: String) -> Unit) {
    val home = Files.createTempDirectory("baokit").toFile()
    val port = freePort()
    val command =
        when (kind) {
            "dev server" -> listOf(given("BAOKIT_DEVSERVER"), "--port", "$port", "--root-token", "root")
            else -> listOf(
                given("BAOKIT_BAO"), "server", "-dev", "-dev-root-token-id=root", "-dev-no-store-token",
                "-dev-listen-address=127.0.0.1:$port",
            )
        }
    val process = start(command, home)
    try {
        Child(process).use { body("http://127.0.0.1:$port") }
    } finally {
        home.deleteRecursively()
    }
}

/** Accepts, reads, and never answers. [asked] falls when a request came, [gone] when its end did. */
class SilentServer : AutoCloseable {
    private val socket = ServerSocket(0, 16, LOOPBACK)
    val url = "http://127.0.0.1:${socket.localPort}"
    val asked = CountDownLatch(1)
    val gone = CountDownLatch(1)

    init {
        thread(isDaemon = true) {
            try {
                while (true) {
                    val connection = socket.accept()
                    thread(isDaemon = true) { watch(connection) }
                }
            } catch (_: SocketException) {
                // The socket was closed: the test is over.
            }
        }
    }

    private fun watch(connection: java.net.Socket) {
        val buffer = ByteArray(4096)
        try {
            connection.use {
                while (it.getInputStream().read(buffer) >= 0) asked.countDown()
            }
        } catch (_: SocketException) {
            // A reset is an end as well.
        }
        gone.countDown()
    }

    override fun close() = socket.close()
}

/** Just enough of OpenBao for log-ins and reads, with a count of the log-ins. */
class CountingServer : AutoCloseable {
    val logins = AtomicInteger()
    val reads = AtomicInteger()
    private val pool = Executors.newFixedThreadPool(8)
    private val server = HttpServer.create(InetSocketAddress(LOOPBACK, 0), 2000)
    val url get() = "http://127.0.0.1:${server.address.port}"

    init {
        server.createContext("/") { exchange ->
            exchange.requestBody.readAllBytes()
            val answer =
                if (exchange.requestURI.path.endsWith("/login")) {
                    logins.incrementAndGet()
                    Thread.sleep(50)
                    """{"auth":{"client_token":"s.counted","lease_duration":3600,"renewable":true}}"""
                } else {
                    reads.incrementAndGet()
                    """{"data":{"data":{"token":"value"},"metadata":{"version":1,"created_time":"2026-01-01T00:00:00Z",
                       "deletion_time":"","destroyed":false,"custom_metadata":null}}}"""
                }
            val bytes = answer.toByteArray()
            exchange.responseHeaders["Content-Type"] = "application/json"
            exchange.sendResponseHeaders(200, bytes.size.toLong())
            exchange.responseBody.use { it.write(bytes) }
        }
        server.executor = pool
        server.start()
    }

    override fun close() {
        server.stop(0)
        pool.shutdownNow()
    }
}
