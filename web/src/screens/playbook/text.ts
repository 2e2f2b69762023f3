// A playbook as the text people keep in files: its body, and nothing the coordinator adds.
import type { components } from '../../../generated/schema';

export type Playbook = components['schemas']['Playbook'];

export async function asYaml(playbook: Pick<Playbook, 'body'>): Promise<string> {
  const { stringify } = await import('yaml');
  return stringify(playbook.body, { lineWidth: 0, aliasDuplicateObjects: false });
}
export const asJson = (playbook: Pick<Playbook, 'body'>): string => `${JSON.stringify(playbook.body, null, 2)}\n`;

/** Hands a text to the browser as a file. */
export function save(name: string, text: string, type: string) {
  const address = URL.createObjectURL(new Blob([text], { type }));
  const link = Object.assign(document.createElement('a'), { href: address, download: name });
  link.click();
  setTimeout(() => URL.revokeObjectURL(address));
}

export const SAMPLE = `name: clear
description: removes old files beneath a folder
input_schema:
  properties:
    folder: {type: string, pattern: "^/srv/[a-z0-9/-]+$", description: where to look}
    days: {type: integer, minimum: 1, default: 30, description: older than this}
  required: [folder]
goal: clear \${{ inputs.folder }}
tasks:
  - id: look
    uses: shell.run
    with:
      script: echo "looking at $FOLDER, older than $DAYS days"
      env: {FOLDER: "\${{ inputs.folder }}", DAYS: "\${{ inputs.days }}"}
`;
