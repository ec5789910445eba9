// Writes, reads and rotates a secret on the server that the environment names:
//
//     cargo run -p baokit-devserver        # prints its address; the token is `root`
//     OPENBAO_URL=… OPENBAO_TOKEN=root TENANT_ALLOWED_MOUNTS=secret mvn -q -f examples/kotlin compile exec:java

import kotlin.system.exitProcess
import kotlinx.coroutines.runBlocking
import org.baokit.BaokitException
import org.baokit.Client

private const val URI = "openbao+kv2://secret/quickstart/kotlin"

fun main() =
    try {
        Client.fromEnv(System.getenv()).use { client -> runBlocking { show(client) } }
        println("quickstart: ok")
    } catch (error: BaokitException) {
        // Its text names the setting, path or node at fault and what to do; it never holds a secret.
        System.err.println("quickstart: ${error.message}")
        exitProcess(1)
    }

private suspend fun show(client: Client) {
    val written = client.write(URI, mapOf("token" to "old-value", "user" to "app"))
    println("wrote version ${written.newVersion}")

    client.read("$URI#token").use { token ->
        println("read $token") // Redacted; the value leaves through expose only.
        println("its value has ${token.exposeString().length} characters")
    }

    val done = client.rotate("$URI#token", "new-value")
    println("rotated: ${done.oldVersion} -> ${done.newVersion}")
    println("versions: ${client.versions(URI).versions.map { it.version }}")

    try {
        client.read("$URI#nothing")
    } catch (error: BaokitException) {
        println("an absent key: ${error.code} (${error.family}); ${error.advice}")
    }
}
