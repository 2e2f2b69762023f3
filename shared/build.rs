//! Compiles `proto/` with protox, so that no `protoc` has to be installed.

fn main() -> Result<(), Box<dyn std::error::Error>> {
    println!("cargo::rerun-if-changed=../proto");
    if std::env::var_os("CARGO_FEATURE_RT").is_none() {
        return Ok(());
    }
    let files = ["nexusmon/v1/agent.proto", "nexusmon/v1/transfer.proto"];
    let descriptors = protox::compile(files, ["../proto"])?;
    let codec = "crate::wire::codec::Lean";
    tonic_prost_build::configure().bytes(".").codec_path(codec).compile_fds(descriptors)?;
    Ok(())
}
