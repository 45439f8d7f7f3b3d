/** Builds the page into `folder`, with the networks of the run folder `run`; default the small ones that come with it. */
export function buildPage(folder: string, run?: string): Promise<void>;
