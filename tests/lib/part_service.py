"""The part service: policy enforcement and the Secrets API, with real curl, a real OpenBao and a real PDP."""

import tools


def service(part):
    """enforcement and the Secrets API: curl, TLS, proofs, Cerbos, OpenBao, a store that processes share"""
    tools.system_package("curl", "curl")
    # The server is fetched with it.
    tools.python_pip()
    if not part.check("tests/openbao/fetch", ["tests/openbao/fetch", "2.7.2"]):
        return
    with_pdp = {"CERBOS": str(tools.cerbos())}
    test = ["cargo", "test", "--locked", "--no-fail-fast"]
    ignored = ["--", "--include-ignored"]
    core = [*test, "-p", "baokit-service", "--lib", "--tests", *ignored]
    part.libtest("cargo test -p baokit-service", core, env=with_pdp)
    # Its other tests are of the part rust, with the same features.
    native = [*test, "-p", "baokit", "--features", "axum", "--lib", "--test", "service_*"]
    part.libtest("cargo test -p baokit --features axum", native)
    part.libtest("cargo test -p secrets-api", [*test, "-p", "secrets-api", "--bins", "--tests", *ignored], env=with_pdp)
    # The other parts switch it on, and nobody would notice that it is needed.
    part.check("baokit builds without enforcement", ["cargo", "check", "--locked", "-p", "baokit"])
