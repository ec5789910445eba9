// The five lines of the README, and an AppRole's whole way, on the dev server and on a real one.

import kotlinx.coroutines.delay
import kotlinx.coroutines.runBlocking
import org.baokit.BaokitException
import org.baokit.Client
import org.junit.jupiter.api.Assertions.assertEquals
import org.junit.jupiter.api.Timeout
import org.junit.jupiter.params.ParameterizedTest
import org.junit.jupiter.params.provider.ValueSource

private const val URI = "openbao+kv2://secret/app/api"

@Timeout(120)
class QuickstartTest {
    @ParameterizedTest
    @ValueSource(strings = ["dev server", "OpenBao"])
    fun `an AppRole writes, reads, rotates and lists versions`(kind: String) = withServer(kind) { url ->
        runBlocking {
            val (roleId, secretId) = Client(url = url, token = "root").use { appRole(it) }
            Client(url = url, roleId = roleId, secretId = secretId, allowedMounts = listOf("secret")).use { client ->
                assertEquals(1UL, client.write(URI, mapOf("token" to "old", "port" to 8200L)).newVersion)
                val done = client.rotate("$URI#token", "new-value")
                assertEquals(1UL to 2UL, done.oldVersion to done.newVersion)
                assertEquals("new-value", client.read("$URI#token").use { it.exposeString() })
                client.read(URI).use {
                    assertEquals(mapOf("token" to "new-value", "port" to 8200L), it.expose())
                    assertEquals(2UL, it.version)
                }
                assertEquals(listOf(1UL, 2UL), client.versions(URI).versions.map { it.version })
                client.kv2("secret").read("app/api", version = 1UL).use {
                    assertEquals("old", (it.expose() as Map<*, *>)["token"])
                }
                client.delete(URI)
                assertEquals("SECRET_DELETED", codeOf { client.read(URI) })
                assertEquals("approle", client.lookupSelf().policies.first { it == "approle" })
                println("kotlin: an AppRole's whole way on the $kind: done")
            }
        }
    }

    @ParameterizedTest
    @ValueSource(strings = ["dev server", "OpenBao"])
    fun `the README's lines work`(kind: String) = withServer(kind) { url ->
        runBlocking {
            val env = mapOf("OPENBAO_URL" to url, "OPENBAO_TOKEN" to "root", "TENANT_ALLOWED_MOUNTS" to "secret")
            ready(Client.fromEnv(env))
            Client.fromEnv(env).use { it.write(URI, mapOf("token" to "old-value")) }
            System.env = env
            val client = Client.fromEnv(System.getenv())
            val token = client.read("openbao+kv2://secret/app/api#token").use { it.exposeString() }
            connect(token)
            val done = client.rotate("openbao+kv2://secret/app/api#token", "new-value")
            println("${done.oldVersion} -> ${done.newVersion}")
            client.close()
            assertEquals("old-value, 1 -> 2", "$connected, ${done.oldVersion} -> ${done.newVersion}")
        }
    }
}

/** Stands before Java's own, so that the README's lines can stand in a test as they are. */
private object System {
    var env: Map<String, String> = emptyMap()

    fun getenv() = env
}

private var connected = ""

private fun connect(token: String) {
    connected = token
}

/** A server has started when it has the mount; a real one is healthy a moment before that. */
private suspend fun ready(root: Client) {
    repeat(300) {
        try {
            return root.request("GET", "secret/config").close()
        } catch (_: BaokitException) {
            delay(100)
        }
    }
    error("the server did not start")
}

private suspend fun appRole(root: Client): Pair<String, String> {
    ready(root)
    val rules = """path "secret/*" { capabilities = ["create", "update", "read", "list", "delete"] }"""
    root.request("POST", "sys/auth/approle", mapOf("type" to "approle")).close()
    root.request("POST", "sys/policies/acl/approle", mapOf("policy" to rules)).close()
    root.request("POST", "auth/approle/role/app", mapOf("token_policies" to "approle")).close()
    suspend fun data(method: String, path: String, field: String) =
        root.request(method, path).use { ((it.expose() as Map<*, *>)["data"] as Map<*, *>)[field] as String }
    return data("GET", "auth/approle/role/app/role-id", "role_id") to
        data("POST", "auth/approle/role/app/secret-id", "secret_id")
}

suspend fun codeOf(call: suspend () -> Any?): String =
    try {
        call()
        "it succeeded"
    } catch (error: BaokitException) {
        error.code
    }
