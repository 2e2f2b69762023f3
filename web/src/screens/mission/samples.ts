// Texts to begin with.
export const SAMPLES: Record<string, string> = {
  count: `goal: count today's lines
tasks:
  - id: fetch
    uses: shell.run
    with: { script: "seq 1000 > out.csv" }
    artifacts: ["*.csv"]
  - id: count
    uses: shell.run
    needs: [fetch]
    inputs: [{ task: fetch, artifact: out.csv }]
    with:
      script: |
        printf '{"lines": %d}' "$(wc -l < "$NEXUSMON_INPUTS/out.csv")" > "$NEXUSMON_OUTPUTS"
  - id: say
    uses: shell.run
    needs: [count]
    with:
      script: echo "there were $LINES lines"
      env: { LINES: "\${{ tasks.count.outputs.lines }}" }
`,
  approval: `goal: say who I am outside of the sandbox
tasks:
  - id: say
    uses: shell.run
    sandbox: none          # leaving the sandbox is rank A: it waits for you
    with: { script: "id && uname -a" }
`,
  empty: `goal: what you want done
tasks:
  - id: first
    uses: shell.run
    with: { script: "echo hello" }
`,
};
