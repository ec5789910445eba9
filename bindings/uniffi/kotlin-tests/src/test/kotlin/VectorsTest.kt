// Runs every case that the flow server has, through the public calls. It keeps the tally and compares.

import com.fasterxml.jackson.databind.JsonNode
import com.fasterxml.jackson.databind.ObjectMapper
import java.math.BigInteger
import java.net.URI
import java.net.http.HttpClient
import java.net.http.HttpRequest
import java.net.http.HttpResponse.BodyHandlers
import java.time.Duration
import kotlinx.coroutines.Dispatchers
import kotlinx.coroutines.async
import kotlinx.coroutines.awaitAll
import kotlinx.coroutines.runBlocking
import org.baokit.BaokitException
import org.baokit.Client
import org.baokit.Secret
import org.baokit.SecretPointer
import org.baokit.SecretPrefix
import org.baokit.SecretUri
import org.baokit.Versions
import org.baokit.parseSecretRef
import org.junit.jupiter.api.Assertions.assertTrue
import org.junit.jupiter.api.Test
import org.junit.jupiter.api.Timeout

/** What this face has, so that a need that is new is skipped, which fails the test (tests/vectors/README.md). */
private val HAS = setOf(
    "prefix", "ref", "provider", "expose_text", "files", "verify_tls", "tenant_code", "connect_errors", "token_calls",
)

private val json = ObjectMapper()

@Timeout(300)
class VectorsTest {
    @Test
    fun `every vector gives its result`() {
        val flows = Flows(given("BAOKIT_FLOWS"))
        for (case in flows.get("/cases")["cases"]) {
            val lacked = case["needs"].map { it.asText() }.firstOrNull { it !in HAS }
            val outcome = if (lacked != null) mapOf("skipped" to lacked) else run(flows, case)
            flows.post("/cases/${case["id"].asText()}/finish", outcome)
        }
        val tally = flows.post("/end", null)
        assertTrue(tally["failures"].isEmpty) { tally["failures"].joinToString("\n", limit = 30) }
        assertTrue(tally["kinds"].all { it["missing"].asInt() == 0 && it["skipped"].asInt() == 0 }) { "$tally" }
    }
}

private class Flows(private val url: String) {
    private val http = HttpClient.newHttpClient()

    fun get(path: String): JsonNode = send(HttpRequest.newBuilder(URI(url + path)))

    fun post(path: String, body: Any?): JsonNode {
        val text = if (body == null) "" else json.writeValueAsString(body)
        return send(HttpRequest.newBuilder(URI(url + path)).POST(HttpRequest.BodyPublishers.ofString(text)))
    }

    private fun send(request: HttpRequest.Builder): JsonNode {
        val answer = http.send(request.timeout(Duration.ofSeconds(30)).build(), BodyHandlers.ofString())
        check(answer.statusCode() == 200) { "the flow server answers ${answer.statusCode()}: ${answer.body()}" }
        return json.readTree(answer.body())
    }
}

private fun run(flows: Flows, case: JsonNode): Map<String, Any?> =
    when (case["kind"].asText()) {
        "uri" -> single { parsed(case.text("input")!!, case) }
        "pointer" -> single {
            val text = case.text("input")!!
            mapOf("canonical" to if (case.text("as") == "ref") "${parseSecretRef(text)}" else "${SecretPointer.parse(text)}")
        }
        "config" -> single { Client.describeSettings(environment(case["env"]), case.text("provider")!!) }
        else -> flow(flows, case)
    }

private fun parsed(text: String, case: JsonNode): Map<String, Any?> {
    val (legacy, mount) = case["legacy"].asBoolean() to case.text("mount")
    return when (val kind = case.text("as")) {
        "secret" -> uri(SecretUri.parse(text, legacy, mount))
        else -> mapOf("canonical" to "${SecretPrefix.parse(text, legacy, wildcard = kind == "wildcard", mount)}")
    }
}

private fun client(env: Map<String, String>, case: JsonNode): Client {
    val tenant = case.text("tenant") ?: return Client.fromEnv(env, case.text("provider")!!)
    return Client(
        url = env["OPENBAO_URL"], token = env["OPENBAO_TOKEN"], tenantId = tenant,
        allowedMounts = env["TENANT_ALLOWED_MOUNTS"].orEmpty().split(","), provider = case.text("provider")!!,
    )
}

private fun flow(flows: Flows, case: JsonNode): Map<String, Any?> {
    val env = environment(flows.post("/cases/${case["id"].asText()}/start", null)["env"])
    val client =
        try {
            client(env, case)
        } catch (error: Exception) {
            return mapOf("error" to described(error))
        }
    return client.use { mapOf("results" to case["steps"].map { step -> runBlocking(Dispatchers.Default) { result(client, step) } }) }
}

private suspend fun result(client: Client, step: JsonNode): Any? {
    val times = step["parallel"]?.asInt() ?: 1
    if (times == 1) return caught { call(client, step) }
    return kotlinx.coroutines.coroutineScope { List(times) { async { caught { call(client, step) } } }.awaitAll() }
}

private suspend fun call(client: Client, step: JsonNode): Any? {
    fun uri() = step.text("uri")!!
    fun path() = step.text("path")!!
    fun kv2() = client.kv2(step.text("mount")!!)
    return when (val op = step["op"].asText()) {
        "read" -> client.read(uri()).use(::secret)
        "read_text" -> client.read(uri()).use { mapOf("value" to it.exposeString()) }
        "write" -> client.write(uri(), plain(step["value"])).let { mapOf("old_version" to it.oldVersion.toLong(), "new_version" to it.newVersion.toLong()) }
        "rotate" -> client.rotate(uri(), plain(step["value"])).let { mapOf("old_version" to it.oldVersion.toLong(), "new_version" to it.newVersion.toLong()) }
        "delete" -> client.delete(uri()).let { emptyMap<String, Any>() }
        "versions" -> versions(client.versions(uri()))
        "kv2_read" -> kv2().read(path(), step.number("version")).use(::secret)
        "kv2_write" -> kv2().write(path(), plain(step["value"]), step.number("cas")).let {
            mapOf("version" to it.version.toLong(), "created_time" to it.createdTime)
        }
        "kv2_delete" -> kv2().delete(path(), step["versions"].map { it.asText().toULong() }).let { emptyMap<String, Any>() }
        "kv2_versions" -> versions(kv2().versions(path()))
        "request" -> client.request(step.text("method")!!, path(), plain(step["body"])).use { mapOf("value" to forJson(it.expose())) }
        "lookup_self" -> client.lookupSelf().let {
            mapOf(
                "accessor" to it.accessor, "policies" to it.policies, "ttl" to it.ttl.toLong(),
                "renewable" to it.renewable, "num_uses" to it.numUses.toLong(),
            )
        }
        "renew_self" -> client.renewSelf(step.number("increment")).let {
            mapOf("lease_duration" to it.leaseDuration.toLong(), "renewable" to it.renewable)
        }
        "admit_prefix" -> client.admitPrefix(uri()).let { emptyMap<String, Any>() }
        "close" -> client.close().let { emptyMap<String, Any>() }
        else -> error("the runner does not know $op")
    }
}

private fun single(call: () -> Any?): Map<String, Any?> =
    mapOf("results" to listOf(try { call() } catch (error: Exception) { described(error) }))

private suspend fun caught(call: suspend () -> Any?): Any? =
    try {
        call()
    } catch (error: Exception) {
        described(error)
    }

private fun described(error: Exception): Map<String, Any?> =
    if (error is BaokitException) mapOf("code" to error.code, "subject" to error.subject)
    else mapOf("code" to "FOREIGN", "subject" to "$error")

private fun uri(uri: SecretUri) = mapOf(
    "canonical" to "$uri", "provider" to uri.provider, "mount" to uri.mount, "path" to uri.path,
    "fragment" to uri.fragment, "version" to uri.version?.toLong(),
)

private fun secret(secret: Secret) = mapOf(
    "value" to forJson(secret.expose()), "version" to secret.version.toLong(),
    "created_time" to secret.createdTime, "custom_metadata" to secret.customMetadata,
)

private fun versions(versions: Versions) = mapOf(
    "current_version" to versions.currentVersion.toLong(),
    "custom_metadata" to versions.customMetadata,
    "versions" to versions.versions.map {
        mapOf(
            "version" to it.version.toLong(), "created_time" to it.createdTime,
            "deletion_time" to it.deletionTime, "destroyed" to it.destroyed,
        )
    },
)

private fun JsonNode.text(name: String): String? = get(name)?.takeIf { !it.isNull }?.asText()

private fun JsonNode.number(name: String): ULong? = text(name)?.toULong()

private fun environment(node: JsonNode): Map<String, String> =
    node.properties().associate { (key, value) -> key to value.asText() }

/** JSON as this library takes values. */
private fun plain(node: JsonNode?): Any? = when {
    node == null || node.isNull -> null
    node.isTextual -> node.asText()
    node.isBoolean -> node.asBoolean()
    node.isBigInteger -> node.bigIntegerValue().let { if (it.signum() > 0 && it.bitLength() <= 64) "$it".toULong() else it.toDouble() }
    node.isIntegralNumber -> node.asLong()
    node.isNumber -> node.asDouble()
    node.isArray -> node.map(::plain)
    else -> node.properties().associate { (key, value) -> key to plain(value) }
}

/** Values of this library as Jackson takes them. */
private fun forJson(value: Any?): Any? = when (value) {
    is ULong -> BigInteger("$value")
    is List<*> -> value.map(::forJson)
    is Map<*, *> -> value.mapValues { forJson(it.value) }
    else -> value
}
