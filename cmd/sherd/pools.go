package main

import (
	"fmt"
	"io"
	"time"

	"github.com/spf13/cobra"

	"github.com/sherd-io/sherd/internal/adminapi"
	"github.com/sherd-io/sherd/internal/plural"
)

func newPoolCommand() *cobra.Command {
	var c adminClient
	cmd := &cobra.Command{Use: "pool", Short: "List, make, choose and remove pools: erasure profiles side by side"}
	c.addFlags(cmd)
	cmd.AddCommand(
		&cobra.Command{
			Use: "ls", Short: "List pools", Args: cobra.NoArgs,
			RunE: func(cmd *cobra.Command, _ []string) error { return fetch(cmd, &c, "GET", "pools", nil, printPools) },
		},
		newPoolCreateCommand(&c),
		newPoolSetCommand(&c),
		newPoolRemoveCommand(&c),
	)
	return cmd
}

func newPoolCreateCommand(c *adminClient) *cobra.Command {
	var req adminapi.PoolRequest
	var class string
	cmd := &cobra.Command{
		Use:     "create NAME --ec K+M",
		Short:   "Make a pool with an erasure profile of its own, over the same drives or some of them",
		Long:    "Its profile, PGs and drives stay as they are made; new drives join a pool that was made for all. " + namesDrive,
		Example: "  sherd pool create archive --ec 8+3 --storage-class ARCHIVE",
		Args:    cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			req.Name = args[0]
			if class != "" {
				req.StorageClass = &class
			}
			for i := range req.Drives {
				req.Drives[i] = driveName(req.Drives[i])
			}
			return fetch(cmd, c, "POST", "pools/create", &req, printPool)
		},
	}
	f := cmd.Flags()
	f.StringVar(&req.Profile, "ec", "", "data+parity shards, such as 8+3")
	f.IntVar(&req.PGs, "pgs", 0, "placement groups, a power of two; more spread over more drives (default 256)")
	f.StringSliceVar(&req.Drives, "drives", nil, "its drives (default all)")
	f.StringVar(&class, "storage-class", "", "requests with this x-amz-storage-class use it")
	f.BoolVar(&req.Default, "default", false, "buckets that are made from now on use it")
	return cmd
}

func newPoolSetCommand(c *adminClient) *cobra.Command {
	var req adminapi.PoolRequest
	var class string
	cmd := &cobra.Command{
		Use: "set NAME", Short: "Choose who uses a pool", Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			req.Name = args[0]
			if cmd.Flags().Changed("storage-class") {
				req.StorageClass = &class
			}
			return fetch(cmd, c, "POST", "pools/set", &req, printPool)
		},
	}
	cmd.Flags().StringVar(&class, "storage-class", "", "requests with this x-amz-storage-class use it; empty: none do")
	cmd.Flags().BoolVar(&req.Default, "default", false, "buckets that are made from now on use it")
	return cmd
}

func newPoolRemoveCommand(c *adminClient) *cobra.Command {
	return &cobra.Command{
		Use: "rm NAME", Short: "Remove a pool that nothing uses any more", Args: cobra.ExactArgs(1),
		Long: "Refused while it is the pool of a bucket, of a storage class or of new buckets, and while an object or a part has data in it: the\n" +
			"answer says which. Give buckets another pool, and take the class away, and their objects leave it by themselves: see `sherd pool ls`.",
		RunE: func(cmd *cobra.Command, args []string) error {
			req := adminapi.PoolRequest{Name: args[0]}
			return fetch(cmd, c, "POST", "pools/remove", &req, func(out io.Writer, p *adminapi.PoolRow) error {
				text := "is removed"
				if p.Removing {
					text = "is being removed: what was deleted there is still to be cleared away (`sherd pool ls`)"
				}
				_, err := fmt.Fprintf(out, "%s %s\n", p.Name, text)
				return err
			})
		},
	}
}

func printPool(out io.Writer, p *adminapi.PoolRow) error {
	text := fmt.Sprintf("%s %d+%d: any %s may be lost; %.2f bytes on drives for each stored", p.Name, p.K, p.M,
		plural.Of(p.M, "drive"), float64(p.K+p.M)/float64(p.K))
	if p.Default {
		text += "; new buckets use it"
	}
	if p.StorageClass != "" {
		text += "; storage class " + p.StorageClass
	}
	_, err := fmt.Fprintln(out, text)
	return err
}

func printPools(out io.Writer, pools *[]adminapi.PoolRow) error {
	w := table(out)
	fmt.Fprintln(w, "POOL\tPROFILE\tPGS\tDRIVES\tBUCKETS\tCLASS\tDEFAULT\tSTORED\tTO LEAVE")
	for _, p := range *pools {
		drives, chosen, pgs := "all", "", fmt.Sprint(p.PGs)
		if len(p.Drives) > 0 {
			drives = fmt.Sprint(len(p.Drives))
		}
		if p.Default {
			chosen = "yes"
		}
		if !p.Ready {
			pgs += " (not laid out yet)"
		}
		if p.Removing {
			pgs += " (being removed)"
		}
		fmt.Fprintf(w, "%s\t%d+%d\t%s\t%s\t%d\t%s\t%s\t%s\t%s\n", p.Name, p.K, p.M, pgs, drives, p.Buckets, firstNonEmpty(p.StorageClass, "-"),
			firstNonEmpty(chosen, "-"), countedText(p.Exact, p.Stored), countedText(p.Exact, p.Leaving))
	}
	return w.Flush()
}

func newBucketCommand() *cobra.Command {
	var c adminClient
	cmd := &cobra.Command{Use: "bucket", Short: "What S3 has no words for"}
	c.addFlags(cmd)
	cmd.AddCommand(&cobra.Command{
		Use: "ls", Short: "List buckets, their pools, and what is still to go to another pool", Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error { return fetch(cmd, &c, "GET", "buckets", nil, printBuckets) },
	}, &cobra.Command{
		Use:   "set-pool BUCKET POOL",
		Short: "Have a bucket's objects go to another pool",
		Long: "New objects go there at once. Those that the bucket has are written anew there in the background, at the pace of healing: " +
			"`sherd bucket ls` shows how many are left. Objects of a storage class that has a pool of its own stay in that.",
		Args: cobra.ExactArgs(2),
		RunE: func(cmd *cobra.Command, args []string) error {
			req := adminapi.BucketPoolRequest{Bucket: args[0], Pool: args[1]}
			return fetch(cmd, &c, "POST", "buckets/pool", &req, func(out io.Writer, b *adminapi.BucketPool) error {
				_, err := fmt.Fprintf(out, "new objects of %s go to pool %s, those that it has follow: `sherd bucket ls`\n", b.Bucket, b.Pool)
				return err
			})
		},
	})
	return cmd
}

func printBuckets(out io.Writer, buckets *[]adminapi.BucketRow) error {
	w := table(out)
	fmt.Fprintln(w, "BUCKET\tPOOL\tSTORED\tTO CONVERT\tCREATED")
	for _, b := range *buckets {
		fmt.Fprintf(w, "%s\t%s\t%s\t%s\t%s\n", b.Name, firstNonEmpty(b.Pool, "-"), countedText(true, b.Stored), countedText(b.Exact, b.ToConvert),
			b.Created.Format(time.DateTime))
	}
	return w.Flush()
}

// countedText is a number of objects, and their bytes.
func countedText(counted bool, s adminapi.Stored) string {
	switch {
	case !counted:
		return "not counted yet"
	case s.Objects == 0:
		return "-"
	}
	return fmt.Sprintf("%s, %s", plural.Of(s.Objects, "object"), formatBytes(s.Bytes))
}
