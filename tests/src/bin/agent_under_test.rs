//! The agent, built in this package so that the suite finds its path.

fn main() -> std::process::ExitCode {
    vpcwatch::cli::main()
}
